"""Synthetic speech and music, as a second source of training data.

In `speech`, espeak-ng reads the sentences of `sentences`; in `music`, fluidsynth plays the pieces
of `composition`, which `midi` writes as files. `command` is `encodec-train synth`.
"""
