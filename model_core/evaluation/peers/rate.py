"""Finds the encoder setting at which a file has the wanted rate.

Encoders with a variable rate treat their setting as a hint, and the container adds bytes: at 6 kbps
the file may be a fifth smaller or larger.
"""

from collections.abc import Callable

CLOSE = 0.02  # of the wanted size
_TRIES = 5
_BOUNDS = 0.4, 2.5  # how far the setting may be from the rate


def nearest(encode: Callable[[float], bytes], kbps: float, seconds: float) -> bytes:
    """The result of `encode(setting)` whose file is nearest to `kbps`."""
    wanted = 1000 * kbps * seconds / 8  # bytes
    setting = kbps
    tried: list[tuple[float, bytes]] = []
    for _ in range(_TRIES):
        data = encode(setting)
        tried.append((abs(len(data) / wanted - 1), data))
        if tried[-1][0] <= CLOSE:
            break
        setting *= wanted / len(data)
        setting = min(max(setting, _BOUNDS[0] * kbps), _BOUNDS[1] * kbps)
    return min(tried, key=lambda one: one[0])[1]
