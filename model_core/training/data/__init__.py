"""Recordings to train on: found, decoded once, split, drawn, changed, or made on the spot."""
