"""Real servers on 127.0.0.1, and the clients that load them."""
