"""Training of a codec: losses, discriminators, steps and the run."""
