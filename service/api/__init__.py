"""The calls, one router a topic."""
