"""The sound device, by the library `sounddevice` (PortAudio), which is an extra of this package."""

import queue
import threading
from typing import Any, Self

import numpy as np

from .plan import CommandError

_AHEAD = 4  # blocks that are decoded before they are heard
_PIECES = 10  # a second: how soon the sound stops
_WAIT = 0.1  # s between two looks at whether the device still works


class Speaker:
    """Plays blocks of samples while the next ones are decoded."""

    def __init__(self, rate: int, channels: int):
        """`rate` in Hz. Raises `CommandError` where there is no device, or none that can do it."""
        self._library = _library()
        try:
            self._stream = self._library.OutputStream(
                samplerate=rate, channels=channels, dtype="float32", latency="high"
            )
        except self._library.PortAudioError as error:
            raise CommandError(
                f"the sound device does not take {channels} x {rate} Hz: {_reason(error)}"
            ) from error
        self._piece = max(1, rate // _PIECES)
        self._blocks: queue.Queue[np.ndarray | None] = queue.Queue(_AHEAD)
        self._stop = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._play_all, daemon=True)

    def __enter__(self) -> Self:
        self._stream.start()
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        """Silence at once: what was not played is dropped."""
        self._stop = True
        self._thread.join()
        self._stream.abort()
        self._stream.close()

    def play(self, samples: np.ndarray) -> None:
        """Play samples `[C, n]` after those before; returns when few blocks wait.

        Raises `CommandError` when the device fails.
        """
        self._put(np.ascontiguousarray(samples.T, np.float32))

    def finish(self) -> None:
        """Wait until all has been played. Raises `CommandError` when the device fails."""
        self._put(None)
        self._thread.join()
        self._raise_if_failed()
        self._stream.stop()  # after what it still holds

    def _put(self, block: np.ndarray | None) -> None:
        while True:
            self._raise_if_failed()
            try:
                self._blocks.put(block, timeout=_WAIT)
                return
            except queue.Full:
                continue

    def _raise_if_failed(self) -> None:
        if self._error is not None:
            raise CommandError(f"the sound device failed: {_reason(self._error)}")

    def _play_all(self) -> None:
        try:
            while (block := self._next()) is not None:
                for start in range(0, len(block), self._piece):
                    if self._stop:
                        return
                    self._stream.write(block[start : start + self._piece])
        except self._library.PortAudioError as error:
            self._error = error

    def _next(self) -> np.ndarray | None:
        while not self._stop:
            try:
                return self._blocks.get(timeout=_WAIT)
            except queue.Empty:
                continue
        return None


def require_device() -> None:
    """Raises `CommandError` where nothing can be played."""
    library = _library()
    try:
        library.query_devices(kind="output")
    except (library.PortAudioError, ValueError) as error:
        raise CommandError("there is no sound device to play on") from error


def _library() -> Any:
    try:
        import sounddevice
    except ImportError:
        raise CommandError(
            "playing needs the package sounddevice: pip install 'encodec-service[play]'"
        ) from None
    except OSError:  # that package brings no PortAudio on Linux
        raise CommandError(
            "playing needs the library PortAudio (Debian and Ubuntu: apt install libportaudio2)"
        ) from None
    return sounddevice


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
