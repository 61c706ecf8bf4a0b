"""Measurements of this project beside others: `python -m benchmarks`, see `command`."""
