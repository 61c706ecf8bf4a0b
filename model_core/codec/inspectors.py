"""What an `.ecdc` file is, found while its bytes pass by: nothing is decoded, and no weights are
needed."""

import struct
from collections.abc import Iterator
from io import BytesIO

from ..config import CONFIGS
from ..ecdc import (
    Header,
    parse_model_name,
    payload_bytes,
    read_header,
    segment_bytes,
    segments,
)
from ..ecdc.header import VERSION, version_of
from ..ecdc.v1 import Parser
from ..ecdc.v1.header import MAX_HEADER_BYTES
from ..errors import BitstreamError
from .inspection import Inspection, Original, frames_of, weights_of

HEAD_BYTES = MAX_HEADER_BYTES
"""Of a file, with which an inspector begins; fewer where the file is shorter."""


def inspector(head: bytes) -> "PayloadInspector | ChunkInspector":
    """Of the file that begins with `head`, which is fed to it. Raises `BitstreamError` for a header
    that is not valid."""
    return ChunkInspector(head) if version_of(head) == 1 else PayloadInspector(head)


_NOTHING = 1e-6
"""A scale so small is that of digital silence, or of channels that cancel."""


class PayloadInspector:
    """Of version 0: counts the bytes, and looks at the scales of the segments of a model that has
    them; with a language model their places are not known."""

    def __init__(self, head: bytes):
        """Raises `BitstreamError` for a header that is not valid."""
        start = BytesIO(head)
        self.header = header = read_header(start)
        self.header_bytes = start.tell()
        name = parse_model_name(header.model).name
        if name not in CONFIGS:
            raise BitstreamError(f"the file is of a model that is not known here: {name}")
        self.config = CONFIGS[name]
        self.segments = self.near_zero = 0
        self._places = self._each() if self.config.normalize and not header.lm else iter(())
        self._place = next(self._places, None)
        self._size = 0
        self._at = 0  # in the file, of what is waiting
        self._waiting = b""
        self.feed(head)

    def _each(self) -> Iterator[int]:
        place = self.header_bytes
        for segment in segments(self.config, self.header.audio_length):
            yield place
            place += segment_bytes(self.config, self.header, segment.samples)

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the file."""
        self._size += len(chunk)
        self._waiting += chunk
        while self._place is not None and self._place + 4 <= self._at + len(self._waiting):
            (scale,) = struct.unpack_from("!f", self._waiting, self._place - self._at)
            self.segments += 1
            self.near_zero += scale < _NOTHING
            self._place = next(self._places, None)
        past = self._at + len(self._waiting) if self._place is None else self._place
        kept = self._waiting[max(0, past - self._at) :]
        self._at += len(self._waiting) - len(kept)
        self._waiting = kept

    def inspection(self, available: bool) -> Inspection:
        """What the whole file is; `available`: whether it can be decoded here."""
        header, header_bytes, config, size = self.header, self.header_bytes, self.config, self._size
        name, weights, lm_weights = weights_of(header.model, header.lm)
        seconds = header.audio_length / config.sample_rate
        there, needed = size - header_bytes, payload_bytes(config, header)
        trailing = None if header.lm else max(0, there - needed)
        intact, note = _intact(header, there, needed)
        notes = [text for text in (note, _note(self.near_zero, self.segments)) if text is not None]
        return Inspection(
            version=VERSION,
            model=name,
            weights=weights,
            lm_weights=lm_weights,
            weights_available=available,
            duration_seconds=seconds,
            audio_length=header.audio_length,
            sample_rate=config.sample_rate,
            channels=config.channels,
            codebooks=header.num_codebooks,
            bandwidth_kbps=config.bandwidth_of(header.num_codebooks),
            kbps=(size - (trailing or 0)) * 8 / seconds / 1000,
            lm=header.lm,
            frames=frames_of(config, header.audio_length),
            header_bytes=header_bytes,
            payload_bytes=there,
            expected_payload_bytes=None if header.lm else needed,
            trailing_bytes=trailing,
            intact=intact,
            note="; ".join(notes) or None,
        )


def _note(near_zero: int, segments: int) -> str | None:
    """What the scales of so many segments say."""
    if not near_zero:
        return None
    return (
        f"{near_zero} of {segments} segments have a scale near zero: they are "
        "silence, or stereo in opposite phase, which only effort=1 and more keep"
    )


def _intact(header: Header, there: int, needed: int) -> tuple[bool | None, str | None]:
    if there < needed:
        least = "at least " if header.lm else ""
        return False, f"the payload has {there} bytes; the header implies {least}{needed}"
    if header.lm:
        return None, "the length of entropy-coded audio shows only when it is decoded"
    return True, "the length fits; this version has no checksum that would show a change"


class ChunkInspector:
    """Of version 1: verifies everything."""

    def __init__(self, head: bytes):
        """Raises `BitstreamError` for a header that is not valid."""
        self._parser = Parser()
        self._damage: str | None = None
        self._size = len(head)
        self.segments = self.near_zero = 0
        self._parser.feed(head)
        self.header = self._parser.layout.header
        self._read()

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the file."""
        self._size += len(chunk)
        if self._damage is None:
            self._parser.feed(chunk)
            self._read()

    def _read(self) -> None:
        try:
            for chunk in self._parser.chunks():
                self.segments += len(chunk.scales)
                self.near_zero += sum(scale < _NOTHING for scale in chunk.scales)
        except BitstreamError as error:
            self._damage = str(error)

    def inspection(self, available: bool) -> Inspection:
        """What the whole file is; `available`: whether it can be decoded here."""
        parser, header, config = self._parser, self.header, self.header.config
        if self._damage is None:
            try:
                if not parser.end():
                    self._damage = "it has no end: it still grows, or was cut off"
            except BitstreamError as error:
                self._damage = str(error)
        name, weights, lm_weights = weights_of(header.model, bool(header.lm))
        samples = parser.progress.samples
        seconds = samples / config.sample_rate
        size = self._size
        if self._damage is not None:  # of what comes before
            size = parser.header_bytes + parser.progress.lengths.bytes
        original = parser.index.original_samples if parser.index else 0
        damage = self._damage and f"{self._damage}; what comes before is {seconds:g} s of audio"
        notes = [text for text in (damage, _note(self.near_zero, self.segments)) if text]
        return Inspection(
            version=1,
            model=name,
            weights=weights,
            lm_weights=lm_weights,
            weights_available=available,
            duration_seconds=seconds,
            audio_length=samples,
            sample_rate=config.sample_rate,
            channels=config.channels,
            codebooks=header.num_codebooks,
            bandwidth_kbps=config.bandwidth_of(header.num_codebooks),
            kbps=size * 8 / seconds / 1000 if samples else 0,
            lm=header.lm > 0,
            frames=frames_of(config, samples) if samples else 0,
            header_bytes=parser.header_bytes,
            payload_bytes=self._size - parser.header_bytes,
            expected_payload_bytes=None,
            trailing_bytes=None,
            intact=self._damage is None,
            note="; ".join(notes) or None,
            chunks=parser.progress.chunks,
            original=Original(
                sample_rate=header.rate,
                channels=header.channels,
                samples=original or None,
                name=header.name,
            ),
            tags=list(header.tags),
        )
