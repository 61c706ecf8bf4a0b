"""`POST /inspect`: what an `.ecdc` file is, without decoding it."""

import struct
from collections.abc import Iterator
from io import BytesIO

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict

from model_core.config import CONFIGS, ModelConfig
from model_core.ecdc import (
    Header,
    parse_model_name,
    payload_bytes,
    read_header,
    segment_bytes,
    segments,
)
from model_core.ecdc.header import MAX_HEADER_BYTES, VERSION
from model_core.errors import BitstreamError

from ..http.documentation import problem_responses
from ..pipeline.call import OpenCall
from .routes import ECDC, INSPECT_PROBLEMS, file_body, known_parameters

router = APIRouter(tags=["codec"])

PUBLISHED = "official"


class Inspection(BaseModel):
    """What an `.ecdc` file says about itself, and whether it is all there."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    version: int
    """Of the file format."""
    model: str
    """Name of the model."""
    weights: str
    """`official` for the published weights, else the first 8 hex digits of their sha256."""
    lm_weights: str | None
    """The same for the language model, if it coded the file and is named."""
    weights_available: bool
    """Whether this service can decode the file."""
    duration_seconds: float
    """Length of the audio."""
    audio_length: int
    """The same in samples."""
    sample_rate: int
    """Hz."""
    channels: int
    """1 or 2."""
    codebooks: int
    """Codes in a frame."""
    bandwidth_kbps: float
    """What the codes cost before entropy coding."""
    kbps: float
    """What the whole file costs, without what trails it."""
    lm: bool
    """Whether the codes are entropy-coded with a language model."""
    frames: int
    """Frames of all segments."""
    header_bytes: int
    """Bytes before the payload."""
    payload_bytes: int
    """Bytes after the header."""
    expected_payload_bytes: int | None
    """What the header implies; null where only decoding would tell, as with a language model."""
    trailing_bytes: int | None
    """Bytes after the end of the payload, which decoders ignore; null where it is not known."""
    intact: bool | None
    """Whether the payload is all there; null where only decoding would tell. Version 0 has no
    checksum: whether what is there was changed, nothing tells."""
    note: str | None
    """Why `intact` is false or null, or what it does not say; and whether there are segments of
    nearly no loudness, which are silence or stereo in opposite phase."""


@router.post(
    "/inspect",
    operation_id="inspect",
    summary="What an .ecdc file is",
    dependencies=[Depends(known_parameters)],
    responses=problem_responses(*INSPECT_PROBLEMS),
    openapi_extra=file_body(ECDC),
)
async def inspect_file(call: OpenCall) -> Inspection:
    """Reads the header and counts the bytes; works without the file's weights."""
    upload = await call.upload()
    head = b""
    size = 0
    scales: _Scales | None = None
    async for chunk in upload.chunks:
        size += len(chunk)
        if scales is not None:
            scales.feed(chunk)
        elif len(head := head + chunk) >= MAX_HEADER_BYTES:
            scales = _Scales(head)
    scales = scales or _Scales(head)
    available = await call.models.available(scales.header)
    return _inspection(scales, size, available)


_NOTHING = 1e-6
"""A scale so small is that of digital silence, or of channels that cancel."""


class _Scales:
    """The scales of the segments of a file that passes by in chunks, of a model that has them; with
    a language model their places are not known."""

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

    def note(self) -> str | None:
        """What they say."""
        if not self.near_zero:
            return None
        return (
            f"{self.near_zero} of {self.segments} segments have a scale near zero: they are "
            "silence, or stereo in opposite phase, which only effort=1 and more keep"
        )


def _inspection(scales: _Scales, size: int, available: bool) -> Inspection:
    header, header_bytes, config = scales.header, scales.header_bytes, scales.config
    name = parse_model_name(header.model)
    seconds = header.audio_length / config.sample_rate
    there, needed = size - header_bytes, payload_bytes(config, header)
    trailing = None if header.lm else max(0, there - needed)
    intact, note = _intact(header, there, needed)
    notes = [text for text in (note, scales.note()) if text is not None]
    return Inspection(
        version=VERSION,
        model=name.name,
        weights=name.weights or PUBLISHED,
        lm_weights=(name.lm or (None if name.weights else PUBLISHED)) if header.lm else None,
        weights_available=available,
        duration_seconds=seconds,
        audio_length=header.audio_length,
        sample_rate=config.sample_rate,
        channels=config.channels,
        codebooks=header.num_codebooks,
        bandwidth_kbps=config.bandwidth_of(header.num_codebooks),
        kbps=(size - (trailing or 0)) * 8 / seconds / 1000,
        lm=header.lm,
        frames=_frames(config, header.audio_length),
        header_bytes=header_bytes,
        payload_bytes=there,
        expected_payload_bytes=None if header.lm else needed,
        trailing_bytes=trailing,
        intact=intact,
        note="; ".join(notes) or None,
    )


def _intact(header: Header, there: int, needed: int) -> tuple[bool | None, str | None]:
    if there < needed:
        least = "at least " if header.lm else ""
        return False, f"the payload has {there} bytes; the header implies {least}{needed}"
    if header.lm:
        return None, "the length of entropy-coded audio shows only when it is decoded"
    return True, "the length fits; this version has no checksum that would show a change"


def _frames(config: ModelConfig, audio_length: int) -> int:
    """Frames of all segments, in constant time."""
    length = config.segment_length or audio_length
    stride = config.segment_stride or audio_length
    count = -(-audio_length // stride)
    full = max(0, (audio_length - length) // stride + 1)
    cut = sum(config.frames(audio_length - i * stride) for i in range(full, count))
    return full * config.frames(length) + cut
