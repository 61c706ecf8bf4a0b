"""Training of the codec's weights."""
