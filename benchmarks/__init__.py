"""Measurements, ours beside others: `python -m benchmarks`, see `command`."""
