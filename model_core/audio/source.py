"""Any audio -> float32 blocks `[channels, n]` at the model's rate."""

import math
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import numpy as np
from av.audio.layout import AudioLayout

from model_core.audio.input import MediaInput, PlainBytes, SeekableBytes
from model_core.audio.raw import RawFormat, read_raw
from model_core.audio.reader import MediaReader, SourceInfo
from model_core.audio.resample import SampleQueue, resampler
from model_core.audio.samples import Samples, with_channels
from model_core.errors import AudioTooLongError, InvalidAudioError

_Decoded = Iterator[tuple[Samples, AudioLayout | None]]


class AudioSource(Iterator[Samples], AbstractContextManager["AudioSource"]):
    """An iterator of blocks `[channels, n]` of one second; the last may be shorter, live ones all.

    It decodes, converts to the model's channels and resamples on demand, in memory that does not
    grow with the length. `info` describes the input. A context manager; closing it frees the
    decoder (and a file that was opened for it).
    """

    def __init__(self, info: SourceInfo, blocks: Generator[Samples], opened: ExitStack) -> None:
        self.info = info
        self._blocks = blocks
        self._opened = opened

    def __next__(self) -> Samples:
        return next(self._blocks)

    def close(self) -> None:
        """May be called twice."""
        self._blocks.close()
        self._opened.close()

    def __exit__(self, *raised: object) -> None:
        self.close()


def open_audio(
    source: str | Path | SeekableBytes | PlainBytes,
    sample_rate: int,
    channels: int,
    raw: RawFormat | None = None,
    max_seconds: float | None = None,
    live: bool = False,
) -> AudioSource:
    """Opens a path or a binary file (which stays open) as mono or stereo blocks at `sample_rate`.

    `raw` reads headerless big-endian samples instead of a container. Where the audio is `live`,
    blocks are as short as they come, and none waits for more. Raises
    `InvalidAudioError` here or while iterating: unreadable, no audio, empty, truncated, not finite,
    rate or channels out of bounds; `AudioTooLongError` past `max_seconds`.
    """
    if channels not in (1, 2):
        raise InvalidAudioError(f"cannot convert to {channels} channels, only to 1 or 2")
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
            info = reader.info
            decoded: _Decoded = iter(reader)
        else:
            info = SourceInfo("raw", f"pcm_s{raw.bits}be", raw.rate, raw.channels, "")
            decoded = ((block, None) for block in read_raw(file, raw))
        blocks = _converted(decoded, info.sample_rate, sample_rate, channels, live)
        cut = _seconds(blocks, sample_rate, channels, max_seconds, live)
        return AudioSource(info, cut, stack.pop_all())


def _seconds(
    blocks: Iterator[Samples], rate: int, channels: int, max_seconds: float | None, live: bool
) -> Generator[Samples]:
    queue = SampleQueue(channels)
    limit = math.inf if max_seconds is None else int(max_seconds * rate)
    total = 0
    for block in blocks:
        _check_finite(block)
        total += block.shape[1]
        if total > limit:
            raise AudioTooLongError(f"the audio is longer than {limit / rate:g} seconds")
        queue.push(block)
        while queue.length >= rate:
            yield queue.take(rate)
        if live and queue.length:
            yield queue.take(queue.length)
    if queue.length:
        yield queue.take(queue.length)


def _converted(
    decoded: _Decoded, source_rate: int, target_rate: int, channels: int, live: bool
) -> Iterator[Samples]:
    resample = resampler(channels, source_rate, target_rate, eager=live)
    for samples, layout in decoded:
        _check_finite(samples)
        yield resample.push(with_channels(samples, channels, layout))
    yield resample.finish()


def _check_finite(samples: Samples) -> None:
    if not np.isfinite(samples).all():
        raise InvalidAudioError("the audio has samples that are NaN or infinite")
