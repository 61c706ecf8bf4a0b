"""Audio out, block by block: WAV, FLAC, Ogg Opus, MP3, and samples without a header.

An `Encoder` takes float32 `[C, n]` and returns the bytes that are ready. How many samples will come
is known, so every header is final from the start and nothing is written twice. All formats but
`f32` have the 16-bit samples of the WAV (`wav.pcm16`); FLAC gives back the very same. Equal samples
give equal bytes, however they are cut into blocks.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO, cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream

from model_core.audio.completeness import id3_bytes
from model_core.audio.reader import MAX_RATE, MIN_RATE
from model_core.audio.resample import resampler
from model_core.audio.samples import Samples, with_channels
from model_core.audio.tags import Tags, metadata_of
from model_core.audio.wav import pcm16, wav_header, wav_size
from model_core.errors import InvalidAudioError

ORIGINAL = "original"
"""In place of a rate or a number of channels: that of the recording before it was compressed."""

_BIT_RATE = 64_000  # of Opus and MP3, for each channel
_FRAME = 4096  # samples given to FFmpeg at once


@dataclass(frozen=True)
class AudioFormat:
    """What a decoded recording can be written as."""

    name: str
    suffix: str
    media_type: str
    bytes_each: int | None = None
    """Of a sample, where it is stored as it is; None for FFmpeg's encoders."""
    codec: str = ""
    container: str = ""
    """FFmpeg's names."""
    rates: tuple[int, ...] = ()
    """Hz, ascending: all that it can have. Empty: any."""

    def rate(self, wanted: int) -> int:
        """The lowest of its rates (Hz) that is not below the wanted one, else its highest."""
        if not self.rates:
            return wanted
        return next((rate for rate in self.rates if rate >= wanted), self.rates[-1])

    def size(self, channels: int, samples: int) -> int | None:
        """Bytes of the whole file, where that is known beforehand."""
        if self.name == "wav":
            return wav_size(channels, samples)
        return self.bytes_each and self.bytes_each * channels * samples

    def content_type(self, rate: int, channels: int) -> str:
        """`media_type`; with all that a reader must know where there is no header."""
        if not self.bytes_each or self.name == "wav":
            return self.media_type
        layout = f"rate={rate};channels={channels};layout=interleaved"
        return f"{self.media_type};format={self.name.upper()}LE;{layout}"


_OPTIONS = {"flac": {"metadata_header_padding": "0"}}
_OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
_MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
FORMATS = {
    made.name: made
    for made in (
        AudioFormat("wav", ".wav", "audio/wav", 2),
        AudioFormat("flac", ".flac", "audio/flac", None, "flac", "flac"),
        AudioFormat("opus", ".opus", "audio/ogg", None, "libopus", "ogg", _OPUS_RATES),
        AudioFormat("mp3", ".mp3", "audio/mpeg", None, "libmp3lame", "mp3", _MP3_RATES),
        # GStreamer's media type: the one in use that can say all of this
        AudioFormat("f32", ".f32", "audio/x-raw", 4),
        AudioFormat("s16", ".s16", "audio/x-raw", 2),
    )
}


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
        self._floats = format.name == "f32"
        self._header = wav_header(rate, channels, samples) if format.name == "wav" else b""

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
        self._name = format.name
        self._rate, self._samples, self._done = rate, samples, 0
        self._layout = f"{channels}c"
        self._bit_rate = min(channels * _BIT_RATE, _most_bit_rate(rate))
        self._begun = file is not None or format.name == "opus"
        self._sink = _RewindingSink() if format.name == "mp3" else _Sink()
        self._waiting = bytearray()  # for the frame that says an MP3's length
        # Without `bitexact`, Ogg gets a random serial number.
        options = {"fflags": "+bitexact", **_OPTIONS.get(format.name, {})}
        try:
            self._container = av.open(
                file or self._sink, "w", format=format.container, options=options
            )
            self._container.metadata.update(metadata_of(tags))
            stream = cast(AudioStream, self._container.add_stream(format.codec, rate=rate))
            stream.codec_context.layout = self._layout
            stream.codec_context.thread_count = 1
            if format.rates:
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
        if self._waiting and not self._begun:
            if self._name == "flac":
                _say_length(self._waiting, self._samples)
            elif not _say_mp3_length(self._waiting, self._samples, self._rate, self._bit_rate):
                return b""  # only its tags are there yet
            self._begun = True
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
    """FFmpeg writes the frame that says an MP3's length only where it can go back to complete it.
    What it then writes is dropped."""

    def seek(self, offset: int, whence: int = 0) -> int:
        self._place = offset + (0, self._place, self._end)[whence]
        return self._place

    def tell(self) -> int:
        return self._place


def _most_bit_rate(rate: int) -> int:
    """bit/s, of MP3 at this rate: MPEG-2.5, MPEG-2 or MPEG-1."""
    return 64_000 if rate < 16_000 else 160_000 if rate < 32_000 else 320_000


def _say_length(data: bytearray, samples: int) -> None:
    """In FLAC's STREAMINFO (RFC 9639, section 8.2), 36 bits; FFmpeg knows it only at the end. More
    cannot be said: 0 means that it is not known."""
    if samples >> 36:
        return
    data[21] |= samples >> 32
    data[22:26] = (samples & 0xFFFF_FFFF).to_bytes(4, "big")


_MP3_DELAY = 576  # samples that LAME's output is late, less those of every decoder


def _say_mp3_length(data: bytearray, samples: int, rate: int, bit_rate: int) -> bool:
    """In the first frame of an MP3, the `Xing` tag with LAME's extension: how many frames there
    are, and how many samples to drop at both ends. FFmpeg knows it only at the end. False if that
    frame, which follows the ID3 tags, is not there yet."""
    place = data.find(b"Xing", id3_bytes(data))
    if place < 0 or len(data) < place + 144:
        return False
    frame = 1152 if rate >= 32_000 else 576
    ended = samples + _MP3_DELAY
    padding = frame - ended % frame
    if padding < 576:  # lame_encode_flush
        padding += frame
    frames = min((ended + padding) // frame, 0xFFFF_FFFF)
    data[place : place + 4] = b"Info"  # of a constant bit rate
    data[place + 8 : place + 12] = frames.to_bytes(4, "big")
    size = (frames + 1) * frame * bit_rate // rate // 8
    data[place + 12 : place + 16] = min(size, 0xFFFF_FFFF).to_bytes(4, "big")
    data[place + 141 : place + 144] = (_MP3_DELAY << 12 | padding).to_bytes(3, "big")
    return True
