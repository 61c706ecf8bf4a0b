"""EnCodec."""
