"""Headerless big-endian PCM: `audio/L16; rate=…; channels=…` (RFC 2586), `audio/L24` (RFC 3190)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from model_core.audio.input import PlainBytes, SeekableBytes
from model_core.audio.reader import MAX_CHANNELS, MAX_RATE, MIN_RATE
from model_core.audio.samples import Samples, scaled
from model_core.errors import InvalidAudioError

_BLOCK = 1 << 16  # bytes
_BITS = (16, 24)
# Other headerless audio: without this list it would look like a broken container.
_OTHERS = re.compile(r"audio/(l8|l20|pcm|basic|pcma|pcmu)")
_NUMBER = re.compile(r"\s*(?P<quote>\"?)(?P<digits>[0-9]{1,9})(?P=quote)\s*")


@dataclass(frozen=True)
class RawFormat:
    """Rate (Hz), interleaved channels and bits (16 or 24) of headerless big-endian samples.

    Raises `InvalidAudioError` if one of them is out of bounds.
    """

    rate: int
    channels: int = 1
    bits: int = 16

    def __post_init__(self) -> None:
        if self.bits not in _BITS:
            raise InvalidAudioError(f"headerless samples of {self.bits} bits are not supported")
        if not MIN_RATE <= self.rate <= MAX_RATE:
            raise InvalidAudioError(
                f"audio/L{self.bits}: rate {self.rate} Hz is outside {MIN_RATE}…{MAX_RATE} Hz"
            )
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise InvalidAudioError(
                f"audio/L{self.bits}: {self.channels} channels; 1…{MAX_CHANNELS} are supported"
            )


def parse_content_type(value: str) -> RawFormat | None:
    """The format that a `Content-Type` of `audio/L16` or `audio/L24` gives; None for types that do
    not describe samples.

    `rate` is required, `channels` is 1 by default. Raises `InvalidAudioError` if a parameter is
    missing, unknown, given twice, not a number or out of bounds, and for other types of headerless
    audio.
    """
    kind, *parameters = value.split(";")
    kind = kind.strip().lower()
    if kind not in {f"audio/l{bits}" for bits in _BITS}:
        if _OTHERS.fullmatch(kind):
            raise InvalidAudioError(
                f"{kind} is not read; headerless audio is audio/L16 or audio/L24, big-endian, "
                "with its rate and channels"
            )
        return None
    given: dict[str, str] = {}
    for parameter in filter(str.strip, parameters):
        name, _, text = parameter.partition("=")
        name = name.strip().lower()
        if name not in ("rate", "channels"):  # nor in the forms of RFC 2231: `rate*`, `rate*0`
            raise InvalidAudioError(
                f"{kind} has no parameter {name[:50]!r}; there are rate and channels, and its "
                "samples are big-endian"
            )
        if name in given:
            raise InvalidAudioError(f"{kind}: {name} is given twice")
        given[name] = text
    if "rate" not in given:
        raise InvalidAudioError(f"{kind} needs its rate: {kind}; rate=44100; channels=2")
    rate, channels = _number("rate", given["rate"]), _number("channels", given.get("channels", "1"))
    return RawFormat(rate, channels, int(kind.removeprefix("audio/l")))


def _number(name: str, text: str) -> int:
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise InvalidAudioError(f"headerless audio: {name} is not a whole number")
    return int(found["digits"])


def read_raw(file: SeekableBytes | PlainBytes, raw: RawFormat) -> Iterator[Samples]:
    """Float32 blocks `[C, n]` of the samples in `file`.

    Raises `InvalidAudioError` if there are none or the last one is incomplete.
    """
    width = raw.bits // 8
    frame = width * raw.channels
    rest = b""
    empty = True
    while part := file.read(_BLOCK):
        data = rest + part
        count = len(data) // frame
        rest = data[count * frame :]
        if count:
            empty = False
            octets = np.frombuffer(data, np.uint8, count * frame).reshape(-1, width)
            wide = np.zeros((len(octets), 4), np.uint8)  # 32 bits, the sample in the upper ones
            wide[:, :width] = octets
            yield scaled(wide.view(">i4").reshape(count, raw.channels).T, 2.0**-31)
    if rest:
        raise InvalidAudioError(f"truncated audio: the last L{raw.bits} sample is incomplete")
    if empty:
        raise InvalidAudioError("the audio is empty (0 samples)")
