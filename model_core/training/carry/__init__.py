"""A run in a few small files, to continue on another machine.

`contents` says which parts of a state are packed and which are made again, `parts` is the file
format, `command` is `encodec-train carry`.
"""
