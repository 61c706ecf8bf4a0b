"""Quotas of audio-seconds, and what answers say of them: `RateLimit-Policy` and `RateLimit`
(draft-ietf-httpapi-ratelimit-headers-11, structured lists of RFC 9651)."""

import math
import time
from collections.abc import Callable

AUDIO_SECONDS = "audio-seconds"
"""The unit. It is none of the draft's own, which are of requests and of bytes."""


class Quota:
    """So many audio-seconds in a window, as a bucket that is refilled evenly.

    What a request costs is known only in the end, so the bucket may be overdrawn: whoever has
    something left may begin, and an overdraft is waited for before the next.
    """

    def __init__(
        self, name: str, audio: float, window: int, clock: Callable[[], float] = time.monotonic
    ):
        """`window` in seconds."""
        self._clock = clock
        self.name = name
        self._size = audio
        self._window = window
        self._left = audio
        self._at = clock()

    @property
    def left(self) -> float:
        """Audio-seconds; negative where it is overdrawn."""
        now = self._clock()
        self._left = min(self._size, self._left + (now - self._at) * self._size / self._window)
        self._at = now
        return self._left

    def charge(self, audio: float) -> None:
        """Take so many audio-seconds, or give them back where it is negative."""
        self._left = min(self._size, self.left - audio)

    def wait(self) -> int:
        """Whole seconds until something is left; 0 where something is."""
        missing = -self.left
        return 0 if missing < 0 else 1 + math.floor(missing * self._window / self._size)

    def policy(self) -> str:
        """An item of `RateLimit-Policy`."""
        return f'"{self.name}";q={math.floor(self._size)};qu="{AUDIO_SECONDS}";w={self._window}'

    def state(self) -> str:
        """An item of `RateLimit`: what is left, and in how many seconds the bucket is full again
        or, where it is overdrawn, something is left."""
        left = self.left
        full = math.ceil((self._size - left) * self._window / self._size)
        return f'"{self.name}";r={max(0, math.floor(left))};t={self.wait() or full}'
