"""Audio out, block by block: WAV, FLAC, Ogg Opus, MP3, and samples without a header.

An `Encoder` takes float32 `[C, n]` and returns the bytes that are ready. How many samples will come
is known, so every header is final from the start and nothing is written twice. All formats but
`f32` have the 16-bit samples of the WAV (`wav.pcm16`); FLAC gives back the very same. Equal samples
give equal bytes, however they are cut into blocks.
"""

import weakref
from fractions import Fraction
from typing import BinaryIO, cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream

from model_core.audio.formats import AudioFormat
from model_core.audio.reader import MAX_RATE, MIN_RATE
from model_core.audio.resample import resampler
from model_core.audio.samples import Samples, with_channels
from model_core.audio.tags import Tags, metadata_of
from model_core.audio.wav import pcm16
from model_core.errors import InvalidAudioError

ORIGINAL = "original"
"""In place of a rate or a number of channels: that of the recording before it was compressed."""

_FRAME = 4096  # samples given to FFmpeg at once


def choose(
    wanted: int | str | None, original: int | None, decoded: int, most: int, least: int = 1
) -> int:
    """A rate or a number of channels: the wanted one (`ORIGINAL`: what the file says of its
    recording; None: as it is decoded). Raises `ValueError` where that cannot be."""
    if wanted == ORIGINAL:
        if original is None:
            raise ValueError("the file does not say what the original had")
        wanted = original
    number = decoded if wanted is None else int(wanted)
    if not least <= number <= most:
        raise ValueError(f"{number} is not in {least}…{most}")
    return number


def choose_rate(wanted: int | str | None, original: int | None, decoded: int) -> int:
    """The rate of an output in Hz; see `choose`."""
    return choose(wanted, original, decoded, MAX_RATE, MIN_RATE)


def choose_channels(wanted: int | str | None, original: int | None, decoded: int) -> int:
    """1 or 2; see `choose`. An original of more channels comes back as stereo."""
    return choose(wanted, original and min(original, 2), decoded, 2)


class Converter:
    """Blocks `[C, n]` at one rate in, mono or stereo blocks at another out."""

    def __init__(
        self,
        source_rate: int,
        source_channels: int,
        rate: int,
        channels: int,
        eager: bool = False,
        samples: int | None = None,
    ) -> None:
        """`eager`: as of `resampler`. `samples`: of the output; more are dropped."""
        self._left = samples
        self._mixed = min(source_channels, channels)
        self._channels = channels
        self._resampler = resampler(self._mixed, source_rate, rate, eager)

    def push(self, samples: Samples) -> Samples:
        """The output that no later sample can change."""
        return self._made(self._resampler.push(with_channels(samples, self._mixed)))

    def finish(self) -> Samples:
        """The rest: `converted_length` samples in total, or those that were asked for."""
        return self._made(self._resampler.finish())

    def _made(self, samples: Samples) -> Samples:
        if self._left is not None:
            samples = samples[:, : self._left]
            self._left -= samples.shape[1]
        return with_channels(samples, self._channels)


def converted_length(samples: int, source_rate: int, rate: int) -> int:
    """How many samples a `Converter` makes of so many."""
    return -(-samples * rate // source_rate)


class Encoder:
    """The bytes of a file from its samples; this one stores them as they are."""

    def __init__(self, format: AudioFormat, rate: int, channels: int, samples: int) -> None:
        """For `samples` per channel. Raises `InvalidAudioError` for a rate or number of channels
        that the format cannot have."""
        self._channels = channels
        self._missing = samples
        self._floats = format.sample == "f32"
        self._header = format.header(rate, channels, samples) if format.header else b""

    def push(self, samples: Samples, factor: float = 1.0) -> bytes:
        """Takes `[C, n]`, multiplied by `factor`. Raises `InvalidAudioError` for another number of
        samples than was announced."""
        if samples.ndim != 2 or len(samples) != self._channels:
            raise InvalidAudioError(f"expected [{self._channels}, n], got {list(samples.shape)}")
        self._missing -= samples.shape[1]
        if self._missing < 0:
            raise InvalidAudioError(f"{-self._missing} samples more than were announced")
        return self._encoded(samples, factor)

    def finish(self) -> bytes:
        """The end of the file. Raises as `push`."""
        if self._missing:
            raise InvalidAudioError(f"{self._missing} samples fewer than were announced")
        return self._ended()

    def _encoded(self, samples: Samples, factor: float) -> bytes:
        header, self._header = self._header, b""
        if not self._floats:
            return header + pcm16(samples, factor)
        values = samples if factor == 1.0 else samples * np.float32(factor)
        return values.T.astype("<f4").tobytes()

    def _ended(self) -> bytes:
        return self._header


class FFmpegEncoder(Encoder):
    """One of FFmpeg's encoders, with a muxer."""

    def __init__(
        self,
        format: AudioFormat,
        rate: int,
        channels: int,
        samples: int,
        tags: Tags = (),
        file: BinaryIO | None = None,
    ) -> None:
        """`tags` that are known (`audio.tags`) are written. `file`: one that can seek, to write
        into; `push` then returns nothing. (FLAC gains a checksum of its samples.)"""
        super().__init__(format, rate, channels, samples)
        self._rate, self._samples, self._done = rate, samples, 0
        self._layout = f"{channels}c"
        self._bit_rate = format.bit_rate(rate, channels)
        self._say_length = format.say_length if file is None else None
        self._sink = _RewindingSink() if format.rewinds else _Sink()
        self._waiting = bytearray()  # for what says the length
        # Without `bitexact`, Ogg gets a random serial number.
        options = {"fflags": "+bitexact", **format.options}
        try:
            self._container = av.open(
                file or self._sink, "w", format=format.container, options=options
            )
            # One that is not finished has references in a circle, and megabytes.
            weakref.finalize(self, self._container.close).atexit = False
            self._container.metadata.update(metadata_of(tags))
            stream = cast(AudioStream, self._container.add_stream(format.codec, rate=rate))
            stream.codec_context.layout = self._layout
            stream.codec_context.thread_count = 1
            if format.lossy:
                stream.codec_context.bit_rate = self._bit_rate
            stream.codec_context.open()
        except (av.FFmpegError, ValueError, OverflowError) as error:
            raise InvalidAudioError(
                f"{format.name} cannot have {channels} channels at {rate} Hz: {error}"
            ) from error
        self._stream = stream

    def _encoded(self, samples: Samples, factor: float) -> bytes:
        pcm = np.frombuffer(pcm16(samples, factor), "<i2").reshape(1, -1)
        step = _FRAME * self._channels
        for start in range(0, pcm.shape[1], step):
            block = np.ascontiguousarray(pcm[:, start : start + step])
            frame = AudioFrame.from_ndarray(block, format="s16", layout=self._layout)
            frame.sample_rate = self._rate
            # With its place known, an encoder's padding is marked, and dropped on reading.
            frame.pts, frame.time_base = self._done, Fraction(1, self._rate)
            self._done += block.shape[1] // self._channels
            self._container.mux(self._stream.encode(frame))
        return self._taken()

    def _ended(self) -> bytes:
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._taken()

    def _taken(self) -> bytes:
        self._waiting += self._sink.take()
        if self._waiting and self._say_length is not None:
            if not self._say_length(self._waiting, self._samples, self._rate, self._bit_rate):
                return b""
            self._say_length = None
        data, self._waiting = bytes(self._waiting), bytearray()
        return data


def encoder(
    format: AudioFormat, rate: int, channels: int, samples: int, tags: Tags = ()
) -> Encoder:
    """The encoder of a file; see `Encoder`. FLAC, Opus and MP3 can hold `tags`."""
    if format.codec:
        return FFmpegEncoder(format, rate, channels, samples, tags)
    return Encoder(format, rate, channels, samples)


class _Sink:
    """What a muxer writes."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._end = self._place = 0

    def write(self, data: bytes) -> int:
        if self._place == self._end:
            self._data += data
            self._end += len(data)
        self._place += len(data)
        return len(data)

    def take(self) -> bytearray:
        """What is new since the last time."""
        data, self._data = self._data, bytearray()
        return data


class _RewindingSink(_Sink):
    """For `AudioFormat.rewinds`. What FFmpeg writes after it has gone back is dropped."""

    def seek(self, offset: int, whence: int = 0) -> int:
        self._place = offset + (0, self._place, self._end)[whence]
        return self._place

    def tell(self) -> int:
        return self._place
