"""Audio over WebSocket while it is recorded: compressing, decompressing, relays. The protocol is in
docs/live.md."""
