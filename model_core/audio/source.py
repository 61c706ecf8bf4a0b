"""Any audio -> float32 blocks `[channels, n]` at the model's rate."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import numpy as np
from av.audio.layout import AudioLayout

from model_core.audio.channels import ChannelConverter
from model_core.audio.input import MediaInput, PlainBytes, SeekableBytes
from model_core.audio.raw import RawFormat, read_raw
from model_core.audio.reader import MediaReader, SourceInfo
from model_core.audio.resample import SampleQueue, resampler
from model_core.audio.samples import Samples
from model_core.errors import AudioTooLongError, InvalidAudioError


class AudioSource:
    """An iterator of blocks of one second (`sample_rate` samples); the last may be shorter.

    It decodes, converts to the model's channels and resamples on demand, in memory that does not
    grow with the length. `info` describes the input. A context manager; closing it frees the
    decoder (and a file it opened).
    """

    def __init__(
        self,
        source: str | Path | SeekableBytes | PlainBytes,
        sample_rate: int,
        channels: int,
        raw: RawFormat | None = None,
        max_seconds: float | None = None,
    ) -> None:
        self._rate = sample_rate
        self._channels = channels
        self._converter = ChannelConverter(channels)
        self._limit = None if max_seconds is None else int(max_seconds * sample_rate)
        with ExitStack() as stack:
            file = source
            if isinstance(file, str | Path):
                try:
                    file = stack.enter_context(Path(file).open("rb"))
                except OSError as error:
                    raise InvalidAudioError(f"cannot open {source}: {error.strerror}") from error
            if raw is None:
                reader = MediaReader(MediaInput(file))
                stack.callback(reader.close)
                self.info = reader.info
                self._decoded: Iterator[tuple[Samples, AudioLayout | None]] = iter(reader)
            else:
                self.info = SourceInfo("raw", f"pcm_s{raw.bits}be", raw.rate, raw.channels, "")
                self._decoded = ((block, None) for block in read_raw(file, raw))
            self._open = stack.pop_all()
        self._blocks = self._seconds()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Samples:
        return next(self._blocks)

    def close(self) -> None:
        """Frees the decoder and closes a file opened here; may be called twice."""
        self._blocks.close()  # type: ignore[attr-defined]
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _seconds(self) -> Iterator[Samples]:
        queue = SampleQueue(self._channels)
        total = 0
        for block in self._resampled():
            _finite(block)
            total += block.shape[1]
            if self._limit is not None and total > self._limit:
                raise AudioTooLongError(
                    f"the audio is longer than {self._limit / self._rate:g} seconds"
                )
            queue.push(block)
            while queue.length >= self._rate:
                yield queue.take(self._rate)
        if queue.length:
            yield queue.take(queue.length)

    def _resampled(self) -> Iterator[Samples]:
        resample = resampler(self._channels, self.info.sample_rate, self._rate)
        for samples, layout in self._decoded:
            _finite(samples)
            yield resample.push(self._converter.convert(samples, layout))
        yield resample.finish()


def open_audio(
    source: str | Path | SeekableBytes | PlainBytes,
    sample_rate: int,
    channels: int,
    raw: RawFormat | None = None,
    max_seconds: float | None = None,
) -> AudioSource:
    """Opens a path or a binary file (which stays open) as blocks `[channels, n]` at `sample_rate`.

    `raw` reads headerless big-endian samples instead of a container. Raises
    `InvalidAudioError` here or while iterating: unreadable, no audio, empty, truncated, not finite,
    rate or channels out of bounds; `AudioTooLongError` past `max_seconds`.
    """
    return AudioSource(source, sample_rate, channels, raw, max_seconds)


def _finite(samples: Samples) -> None:
    if not np.isfinite(samples).all():
        raise InvalidAudioError("the audio has samples that are NaN or infinite")
