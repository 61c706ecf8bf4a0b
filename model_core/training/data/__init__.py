"""Training data: find, decode once, split, draw and augment recordings, or synthesise them."""
