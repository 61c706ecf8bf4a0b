"""What an `.ecdc` file says about itself, and whether it is all there: `POST /inspect`, `encodec
--info`."""

from dataclasses import dataclass
from typing import ClassVar

from ..config import ModelConfig
from ..ecdc import parse_model_name

PUBLISHED = "official"
_SCHEMA = {"use_attribute_docstrings": True}  # for the service's OpenAPI document


@dataclass(frozen=True, kw_only=True)
class Original:
    """The recording that was compressed."""

    __pydantic_config__: ClassVar = _SCHEMA

    sample_rate: int | None
    """Hz."""
    channels: int | None
    samples: int | None
    """At its own rate."""
    name: str | None
    """Of its file."""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What an `.ecdc` file says about itself, and whether it is all there."""

    __pydantic_config__: ClassVar = _SCHEMA

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
    """Length of the audio; of a damaged file of version 1, of what comes before the damage."""
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
    """What the whole file costs, without what trails it; of a damaged file of version 1, what the
    part before the damage costs."""
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
    chunks: int | None = None
    """Of version 1: parts of the file that decode by themselves."""
    original: Original | None = None
    """Of version 1: what was compressed, as far as the file says."""
    tags: list[tuple[str, str]] | None = None
    """Of version 1: Vorbis comments."""


def weights_of(model: str, lm: bool) -> tuple[str, str, str | None]:
    """What a header's `model` says: the model's name, its weights, and those of its language model
    where that coded the file."""
    name = parse_model_name(model)
    lm_weights = (name.lm or (None if name.weights else PUBLISHED)) if lm else None
    return name.name, name.weights or PUBLISHED, lm_weights


def frames_of(config: ModelConfig, audio_length: int) -> int:
    """Frames of all segments, in constant time."""
    length = config.segment_length or audio_length
    stride = config.segment_stride or audio_length
    count = -(-audio_length // stride)
    full = max(0, (audio_length - length) // stride + 1)
    cut = sum(config.frames(audio_length - i * stride) for i in range(full, count))
    return full * config.frames(length) + cut
