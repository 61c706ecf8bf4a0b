"""The header of a version 1 file: what made it, how it is cut into chunks, what is known of it.

It says nothing of the length: that stands in the index at the end. It is not trusted: every value
is checked, and no memory is allocated by its claims.
"""

import json
import struct
from dataclasses import dataclass
from typing import Any

from ...config import CONFIGS, ModelConfig
from ...errors import BitstreamError, UnknownModelError
from ..header import MAGIC, MAX_META_BYTES, check_lm_name, parse_model_name, version_of
from .checksum import CRC_BYTES, check_crc, crc_of
from .metadata import Tags, check_gain, check_name, check_source, check_tags
from .varint import Buffer

VERSION = 1
MAX_LM = 255
MAX_CHUNK_FRAMES = 9000  # 2 minutes at 24 kHz, 60 segments at 48 kHz
MAX_LM_CHUNK_FRAMES = 1024  # of a chunk that a language model codes: it begins anew in each

_PREFIX = struct.Struct("!4sBI")  # magic, version, bytes of JSON
MAX_HEADER_BYTES = _PREFIX.size + MAX_META_BYTES + CRC_BYTES
_CHUNK_SECONDS = 1.0
_REQUIRED = {"m": "model", "nc": "num_codebooks", "lm": "lm", "chunk": "chunk"}
_OPTIONAL = ("rate", "channels", "name", "gain", "tags")


@dataclass(frozen=True)
class Header:
    """All that a version 1 file says before its first chunk.

    Raises `BitstreamError` for values that cannot be, so every `Header` is valid and its model
    known.
    """

    model: str
    """As `str(ModelName(...))`: the model, its weights and its language model."""
    num_codebooks: int
    lm: int
    """0: the codes as they are. Else the version of the exact language model's arithmetic."""
    chunk: int
    """Frames in a full chunk of a causal model (24 kHz), segments in one of the others (48 kHz)."""
    rate: int | None = None
    """Hz, of the recording before it was resampled for the model."""
    channels: int | None = None
    """Of the recording before it was mixed for the model."""
    name: str | None = None
    """Of the recording's file, without folders."""
    gain: float = 0.0
    """dB. A decoder multiplies the samples by 10 ** (gain / 20)."""
    tags: Tags = ()
    """Vorbis comments: (KEY, value); a key may come several times."""

    def __post_init__(self) -> None:
        config = self.config
        counts = [config.codebooks_for(bandwidth) for bandwidth in config.target_bandwidths]
        if type(self.num_codebooks) is not int or self.num_codebooks not in counts:
            raise BitstreamError(
                f"the header's number of codebooks is of no bandwidth of {config.name}; "
                f"it has {', '.join(map(str, counts))}"
            )
        if type(self.lm) is not int or not 0 <= self.lm <= MAX_LM:
            raise BitstreamError(f"the header's lm is not in 0..{MAX_LM}")
        check_lm_name(parse_model_name(self.model), self.lm > 0)
        frames = MAX_LM_CHUNK_FRAMES if self.lm else MAX_CHUNK_FRAMES
        most = frames // config.frames(config.segment_length or 1)
        if type(self.chunk) is not int or not 1 <= self.chunk <= most:
            raise BitstreamError(f"the header's chunk is not in 1..{most}")
        check_source(self.rate, self.channels)
        check_name(self.name)
        check_gain(self.gain)
        check_tags(self.tags)
        if len(self._json()) > MAX_META_BYTES:
            raise BitstreamError(f"the header is longer than {MAX_META_BYTES} bytes")

    @property
    def config(self) -> ModelConfig:
        """The model's configuration."""
        if not isinstance(self.model, str):
            raise BitstreamError("the header's model is not a string")
        try:
            name = parse_model_name(self.model).name
        except UnknownModelError as error:
            raise BitstreamError(f"the header's model is wrong: {error}") from None
        if name not in CONFIGS:
            raise BitstreamError(f"the file is of a model that is not known here: {name}")
        return CONFIGS[name]

    def to_bytes(self) -> bytes:
        """The header as in the file, its checksum included."""
        data = self._json()
        data = _PREFIX.pack(MAGIC, VERSION, len(data)) + data
        return data + crc_of(data)

    def _json(self) -> bytes:
        meta: dict[str, Any] = {key: getattr(self, field) for key, field in _REQUIRED.items()}
        for key in _OPTIONAL:
            if value := getattr(self, key):
                meta[key] = value
        return json.dumps(meta, ensure_ascii=False, separators=(",", ":")).encode()


def default_chunk(config: ModelConfig) -> int:
    """About a second, as `Header.chunk`: one segment, or frames by four, so that the codes of each
    codebook fill whole bytes."""
    if config.segment is not None:
        return max(1, round(_CHUNK_SECONDS / config.segment))
    return -(-round(_CHUNK_SECONDS * config.frame_rate) // 4) * 4


def parse_header(data: Buffer) -> tuple[Header, int] | None:
    """The header that `data` begins with, and its bytes; None if `data` ends inside it.

    Raises `BitstreamError` as soon as it cannot be one.
    """
    version = version_of(data)
    if version not in (VERSION, None):
        raise BitstreamError(f".ecdc version {version} is not version {VERSION}")
    if len(data) < _PREFIX.size:
        return None
    size = _PREFIX.unpack_from(data)[2]
    if size > MAX_META_BYTES:
        raise BitstreamError(f"the header says that it is {size} bytes long")
    end = _PREFIX.size + size + CRC_BYTES
    if len(data) < end:
        return None
    check_crc(data[:end], "the header")
    return _from_json(bytes(data[_PREFIX.size : end - CRC_BYTES])), end


def _from_json(data: bytes) -> Header:
    """Unknown keys are ignored."""
    try:
        meta = json.loads(data.decode(), object_pairs_hook=_once)
    except (ValueError, RecursionError):  # not UTF-8, not JSON, an endless int, nested too deep
        raise BitstreamError("the header is not readable JSON") from None
    if not isinstance(meta, dict):
        raise BitstreamError("the header is not a JSON object")
    for key in _REQUIRED:
        if key not in meta:
            raise BitstreamError(f"the header has no {key!r}")
    values = {field: meta[key] for key, field in _REQUIRED.items()}
    values |= {key: meta[key] for key in _OPTIONAL if key in meta}
    if None in values.values():
        raise BitstreamError("a value of the header is null")
    if isinstance(tags := values.get("tags"), list):
        pairs = (tuple(pair) if isinstance(pair, list) else pair for pair in tags)
        values["tags"] = tuple(pairs)
    return Header(**values)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Readers differ in what they make of a key that comes twice."""
    meta = dict(pairs)
    if len(meta) < len(pairs):
        raise ValueError("a key comes twice")
    return meta
