"""The header of an `.ecdc` file: which model, how many samples, how many codebooks, LM or not.

A header is not trusted: every value is checked, and no memory is allocated by its claims.
Source: reference `binary.py` (version 0).
"""

import json
import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

from ..config import CONFIGS
from ..errors import BitstreamError, TruncatedBitstreamError, UnknownModelError

MAGIC = b"ECDC"
VERSION = 0
MAX_META_BYTES = 64 * 1024
MAX_AUDIO_LENGTH = 2**53 - 1  # samples; every JSON reader holds it exactly
MAX_CODEBOOKS = 32

_PREFIX = struct.Struct("!4sBI")  # magic, version, bytes of JSON
MAX_HEADER_BYTES = _PREFIX.size + MAX_META_BYTES
_MODEL_NAME = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9_.\-]{0,63})(?::([0-9a-f]{8})(?:\+([0-9a-f]{8}))?)?"
)
_FIELDS = {"m": str, "al": int, "nc": int, "lm": bool}
"""Keys of the header's JSON, in the order of `Header`'s fields."""


@dataclass(frozen=True)
class ModelName:
    """A model and, unless they are the published ones, its weights and its language model.

    `weights` and `lm` are the first 8 hex digits of a sha256 over the tensors. As a string:
    `encodec_24khz`, `encodec_24khz:1a2b3c4d` or `encodec_24khz:1a2b3c4d+5e6f7a8b`.
    Raises `UnknownModelError` for parts that cannot make such a string.
    """

    name: str
    weights: str | None = None
    lm: str | None = None

    def __post_init__(self) -> None:
        match = _MODEL_NAME.fullmatch(str(self))
        if match is None or match.groups() != (self.name, self.weights, self.lm):
            raise UnknownModelError(f"{str(self)[:100]!r} is not the name of a model")

    def __str__(self) -> str:
        weights = "" if self.weights is None else f":{self.weights}"
        lm = "" if self.lm is None else f"+{self.lm}"
        return self.name + weights + lm


def parse_model_name(text: str) -> ModelName:
    """The inverse of `str(ModelName(...))`. Raises `UnknownModelError` for any other form.

    It does not check that a model of that name exists.
    """
    match = _MODEL_NAME.fullmatch(text)
    if match is None:
        raise UnknownModelError(f"{text[:100]!r} is not the name of a model")
    return ModelName(*match.groups())


def check_lm_name(name: ModelName, lm: bool) -> None:
    """A header names the language model that coded the file, and no other; published weights need
    no id. Raises `BitstreamError` for a name that contradicts `lm`."""
    if name.lm and not lm:
        raise BitstreamError(f"the header names a language model, {name}, and says none was used")
    if name.weights and lm and not name.lm:
        raise BitstreamError(f"the header says that a language model was used; {name} names none")


@dataclass(frozen=True)
class Header:
    """The fields before the payload of an `.ecdc` file.

    `audio_length` is in samples at the model's rate. Raises `BitstreamError` for impossible
    values, so every `Header` is valid; a well-formed but unknown `model` is accepted, and refused
    later where models are looked up.
    """

    model: str
    audio_length: int
    num_codebooks: int
    lm: bool

    def __post_init__(self) -> None:
        try:
            parsed = parse_model_name(self.model)
        except UnknownModelError as error:
            raise BitstreamError(f"the header's model is wrong: {error}") from None
        check_lm_name(parsed, self.lm)
        if not 1 <= self.audio_length <= MAX_AUDIO_LENGTH:
            raise BitstreamError(
                f"the header's audio length is not in 1..{MAX_AUDIO_LENGTH} samples"
            )
        if not 1 <= self.num_codebooks <= MAX_CODEBOOKS:
            raise BitstreamError(f"the header's number of codebooks is not in 1..{MAX_CODEBOOKS}")
        if parsed.name in CONFIGS:
            config = CONFIGS[parsed.name]
            counts = [config.codebooks_for(bandwidth) for bandwidth in config.target_bandwidths]
            if self.num_codebooks not in counts:
                raise BitstreamError(
                    f"{parsed.name} has no bandwidth with {self.num_codebooks} codebooks; "
                    f"it has {', '.join(map(str, counts))}"
                )

    def to_bytes(self) -> bytes:
        """The header as in the file, byte for byte the reference's."""
        meta = {"m": self.model, "al": self.audio_length, "nc": self.num_codebooks, "lm": self.lm}
        data = json.dumps(meta).encode()
        return _PREFIX.pack(MAGIC, VERSION, len(data)) + data


def version_of(data: bytes | bytearray) -> int | None:
    """The version of the `.ecdc` file that begins with `data`; None if `data` is too short to tell.

    Raises `BitstreamError` if it is not an `.ecdc` file.
    """
    if data[:4] != MAGIC[: len(data)]:
        raise BitstreamError("not an .ecdc file: it does not begin with ECDC")
    return data[4] if len(data) > 4 else None


def read_header(fo: BinaryIO) -> Header:
    """Read a header and leave `fo` at the first byte of the payload.

    Raises `TruncatedBitstreamError` if the stream ends inside it, and `BitstreamError` if it is
    not an `.ecdc` version 0 header.
    """
    prefix = read_up_to(fo, _PREFIX.size)
    version = version_of(prefix)
    if len(prefix) < _PREFIX.size:
        raise TruncatedBitstreamError("the stream ends inside the .ecdc header")
    size = _PREFIX.unpack(prefix)[2]
    if version != VERSION:
        raise BitstreamError(f".ecdc version {version} is not supported")
    if size > MAX_META_BYTES:
        raise BitstreamError(f"the header says that it is {size} bytes long")
    return _from_json(read_exactly(fo, size))


def _from_json(data: bytes) -> Header:
    """Unknown keys are ignored."""
    try:
        meta = json.loads(data.decode())
    except (ValueError, RecursionError):  # not UTF-8, not JSON, an endless int, nested too deep
        raise BitstreamError("the header is not readable JSON") from None
    if not isinstance(meta, dict):
        raise BitstreamError("the header is not a JSON object")
    for key, kind in _FIELDS.items():
        if key not in meta:
            raise BitstreamError(f"the header has no {key!r}")
        if type(meta[key]) is not kind:  # exactly: to isinstance, a bool is an int
            raise BitstreamError(f"the header's {key!r} is not of type {kind.__name__}")
    return Header(*(meta[key] for key in _FIELDS))


def read_up_to(fo: BinaryIO, size: int) -> bytes:
    """`size` bytes, or all that remain; `fo.read` may return fewer bytes than requested."""
    data = b""
    while len(data) < size and (more := fo.read(size - len(data))):
        data += more
    return data


def read_exactly(fo: BinaryIO, size: int) -> bytes:
    """`size` bytes. Raises `TruncatedBitstreamError` if the stream ends before."""
    data = read_up_to(fo, size)
    if len(data) < size:
        raise TruncatedBitstreamError(f"the stream ends {size - len(data)} bytes too early")
    return data
