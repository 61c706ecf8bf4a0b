"""A run that travels: its state in a few small files, to go on with on another machine.

`contents` says what of a state travels and what is made anew, `parts` how it is written;
`command` is `encodec-train carry`.
"""
