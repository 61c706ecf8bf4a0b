"""Speech and music made on the spot, as a second source beside recordings.

`speech` has espeak-ng read the sentences of `sentences`; `music` has fluidsynth play what
`composition` writes and `midi` turns into a file. `command` is `encodec-train synth`.
"""
