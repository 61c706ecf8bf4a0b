"""Training of the language model of a codec's codes."""
