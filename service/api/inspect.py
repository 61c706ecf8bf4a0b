"""`POST /inspect`: what an `.ecdc` file is, without decoding it."""

from io import BytesIO

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict

from model_core.config import CONFIGS, ModelConfig
from model_core.ecdc import Header, parse_model_name, payload_bytes, read_header
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
    """Why `intact` is false or null, or what it does not say."""


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
    await call.admit()
    upload = await call.upload()
    head = b""
    size = 0
    async for chunk in upload.chunks:
        head += chunk[: MAX_HEADER_BYTES - len(head)]
        size += len(chunk)
    file = BytesIO(head)
    header = read_header(file)
    available = await call.models.available(header)
    return _inspection(header, file.tell(), size, available)


def _inspection(header: Header, header_bytes: int, size: int, available: bool) -> Inspection:
    name = parse_model_name(header.model)
    if name.name not in CONFIGS:
        raise BitstreamError(f"the file is of a model that is not known here: {name.name}")
    config = CONFIGS[name.name]
    seconds = header.audio_length / config.sample_rate
    there, needed = size - header_bytes, payload_bytes(config, header)
    trailing = None if header.lm else max(0, there - needed)
    intact, note = _intact(header, there, needed)
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
        note=note,
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
