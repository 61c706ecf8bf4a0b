"""Headerless PCM: `audio/L16; rate=…; channels=…`, 16-bit big-endian (RFC 2586)."""

from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message

import numpy as np

from model_core.audio.input import PlainBytes, SeekableBytes
from model_core.audio.reader import MAX_CHANNELS, MAX_RATE, MIN_RATE
from model_core.audio.samples import Samples, scaled
from model_core.errors import InvalidAudioError

_BLOCK = 1 << 16  # bytes


@dataclass(frozen=True)
class RawFormat:
    """Rate (Hz) and interleaved channels of headerless 16-bit big-endian samples.

    Raises `InvalidAudioError` for a rate or a channel count out of bounds.
    """

    rate: int
    channels: int = 1

    def __post_init__(self) -> None:
        if not MIN_RATE <= self.rate <= MAX_RATE:
            raise InvalidAudioError(
                f"audio/L16: rate {self.rate} Hz is outside {MIN_RATE}…{MAX_RATE} Hz"
            )
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise InvalidAudioError(
                f"audio/L16: {self.channels} channels; 1…{MAX_CHANNELS} are supported"
            )


def parse_content_type(value: str) -> RawFormat | None:
    """The format that a `Content-Type` of `audio/L16` tells; None for every other type.

    `rate` is required, `channels` is 1 unless given. Raises `InvalidAudioError` when a parameter is
    missing, no number or out of bounds.
    """
    if value.partition(";")[0].strip().lower() != "audio/l16":
        return None
    message = Message()
    message["content-type"] = value
    rate = message.get_param("rate")
    if rate is None:
        raise InvalidAudioError("audio/L16 needs its rate: audio/L16; rate=44100; channels=2")
    return RawFormat(_number("rate", rate), _number("channels", message.get_param("channels", "1")))


def _number(name: str, value: object) -> int:
    text = value.strip() if isinstance(value, str) else ""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidAudioError(f"audio/L16: {name} is not a whole number")
    return int(text)


def read_raw(file: SeekableBytes | PlainBytes, raw: RawFormat) -> Iterator[Samples]:
    """Float32 blocks `[C, n]` of the samples in `file`.

    Raises `InvalidAudioError` when there are none or the last one is incomplete.
    """
    frame = 2 * raw.channels
    rest = b""
    total = 0
    while part := file.read(_BLOCK):
        data = rest + part
        count = len(data) // frame
        rest = data[count * frame :]
        if count:
            total += count
            flat = np.frombuffer(data, ">i2", count * raw.channels)
            yield scaled(flat.reshape(count, raw.channels).T, 2.0**-15)
    if rest:
        raise InvalidAudioError("truncated audio: the last L16 sample is incomplete")
    if total == 0:
        raise InvalidAudioError("the audio is empty (0 samples)")
