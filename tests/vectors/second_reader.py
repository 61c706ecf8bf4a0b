"""A second reader of `.ecdc` files, versions 0 and 1, written from `format.md` alone.

`read` takes the bytes of a whole file and returns all that it says; it raises ValueError, with a
reason, if a checksum or a rule of the description does not hold. Codes that a language model coded
are returned as they are.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAGIC: Final = b"ECDC"
END_MAGIC: Final = b"ECDX"
FULL_CHUNK, CUT_CHUNK, INDEX = 0xEC, 0xED, 0xEE
FRAME: Final = 320
SEGMENT: Final = 48_000
SEGMENT_STRIDE: Final = 47_520
LONGEST_OBJECT: Final = 65_536
MOST_SAMPLES: Final = 2**53 - 1
MODEL_NAME: Final = re.compile(
    r"(encodec_(?:24|48)khz)(?::[0-9a-f]{8})?(?:\+[0-9a-f]{8})?", re.ASCII
)
CODEBOOKS: Final = {"encodec_24khz": (2, 4, 8, 16, 32), "encodec_48khz": (2, 4, 8, 16)}
TAG_KEY: Final = re.compile(r"[\x20-\x3c\x3e-\x7d]{1,64}")
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Segment:
    """What version 0 codes by itself; at 24 kHz the whole audio is one, without a scale."""

    start: int
    samples: int
    scale: float | None
    codes: list[list[int]]


@dataclass(frozen=True)
class Version0:
    """All that a version 0 file says: its segments or, if coded, the bytes of all."""

    model: str
    samples: int
    codebooks: int
    lm: bool
    segments: list[Segment] | None
    payload: bytes | None


@dataclass(frozen=True)
class Header:
    """The header of a version 1 file; what is optional and not there is None, 0.0 or empty."""

    model: str
    codebooks: int
    lm: int
    chunk: int
    rate: int | None
    channels: int | None
    name: str | None
    gain: float
    tags: list[tuple[str, str]]

    @property
    def segmented(self) -> bool:
        """Whether the model codes segments with scales (48 kHz), not one sequence (24 kHz)."""
        return self.model.startswith("encodec_48khz")

    @property
    def stride(self) -> int:
        """Samples from the beginning of a chunk to that of the next."""
        return self.chunk * (SEGMENT_STRIDE if self.segmented else FRAME)

    @property
    def full(self) -> int:
        """Samples that a full chunk covers."""
        return self.stride + (SEGMENT - SEGMENT_STRIDE if self.segmented else 0)

    @property
    def seed(self) -> bytes:
        """What every checksum after the header covers first ("P")."""
        return self.model.encode() + struct.pack(">BBH", self.codebooks, self.lm, self.chunk)


@dataclass(frozen=True)
class Chunk:
    """A chunk of a version 1 file: its codes or, if a language model coded them, their bytes."""

    number: int
    start: int
    samples: int
    frames: int
    scales: list[float]
    codes: list[list[int]] | None
    payload: bytes | None
    length: int
    checksum: int


@dataclass(frozen=True)
class Index:
    """The index of a version 1 file; `original_samples` is 0 if not known."""

    samples: int
    original_samples: int
    checksum_of_checksums: int
    lengths: list[int]


@dataclass(frozen=True)
class Version1:
    """All that a version 1 file says; it is complete if it has an index (and then a trailer)."""

    header: Header
    chunks: list[Chunk]
    index: Index | None

    @property
    def complete(self) -> bool:
        """Whether the file ends with index and trailer."""
        return self.index is not None

    @property
    def samples(self) -> int:
        """Samples of the audio; in a file that is not complete, of what its chunks cover."""
        return self.chunks[-1].start + self.chunks[-1].samples if self.chunks else 0


def require(condition: bool, reason: str) -> None:
    """Raise ValueError with the reason unless the condition holds."""
    if not condition:
        raise ValueError(reason)


def crc_table() -> tuple[int, ...]:
    """The table of CRC-32C: for each byte the remainder that it leaves."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


CRC_TABLE: Final = crc_table()


def crc32c(data: bytes) -> int:
    """The CRC-32C of the bytes."""
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ CRC_TABLE[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


class Cursor:
    """A place in bytes, from which they are read forwards."""

    def __init__(self, data: bytes) -> None:
        """Begin at the first byte."""
        self.data = data
        self.at = 0

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return len(self.data) - self.at

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        require(count <= self.left, f"cut off: {count} bytes wanted at {self.at}, {self.left} left")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, size: int) -> int:
        """An unsigned big-endian integer of `size` bytes."""
        return int.from_bytes(self.take(size), "big")

    def scale(self) -> float:
        """A scale: a finite float32 that is not negative."""
        scale: float = struct.unpack(">f", self.take(4))[0]
        require(math.isfinite(scale) and scale >= 0, f"scale {scale}")
        return scale

    def varint(self, low: int, high: int, what: str) -> int:
        """A varint from `low` to `high`, in no more bytes than it needs."""
        value = 0
        for place in range(8):
            byte = self.number(1)
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                require(byte > 0 or place == 0, f"{what}: a varint of more bytes than it needs")
                require(low <= value <= high, f"{what}: {value} is not {low} to {high}")
                return value
        raise ValueError(f"{what}: a varint of more than 8 bytes")


def packed_size(count: int) -> int:
    """Bytes of `count` packed numbers of 10 bits."""
    return (10 * count + 7) // 8


def unpack(data: bytes, count: int) -> list[int]:
    """The `count` packed numbers of 10 bits, in no more bytes than that, the last filled up."""
    require(len(data) == packed_size(count), f"{len(data)} bytes of {count} codes")
    padded = data + bytes(-len(data) % 5)
    fives = (int.from_bytes(padded[i : i + 5], "little") for i in range(0, len(padded), 5))
    numbers = [five >> shift & 1023 for five in fives for shift in (0, 10, 20, 30)]
    require(not any(numbers[count:]), "the last byte of the codes is not filled up with zeros")
    return numbers[:count]


def frames_of(samples: int) -> int:
    """Frames of so many samples."""
    return -(-samples // FRAME)


def segments_of(samples: int, begin_below: int) -> Iterator[tuple[int, int]]:
    """Beginning and length of each 48 kHz segment of `samples` that begins below `begin_below`."""
    for start in range(0, begin_below, SEGMENT_STRIDE):
        yield start, min(SEGMENT, samples - start)


def json_object(data: bytes, *, unique: bool) -> dict[str, object]:
    """The JSON object in UTF-8; with `unique` no key of it may come twice."""

    def refuse(word: str) -> object:
        raise ValueError(f"header: {word} is not JSON")

    try:
        pairs = json.loads(data.decode(), object_pairs_hook=tuple, parse_constant=refuse)
    except RecursionError:
        raise ValueError("header: nested too deeply") from None
    require(isinstance(pairs, tuple), "header: not an object")
    found: dict[str, object] = dict(pairs)
    require(not unique or len(found) == len(pairs), "header: a key that comes twice")
    return found


def integer(keys: dict[str, object], key: str, low: int, high: int) -> int:
    """The integer of a key, from `low` to `high`."""
    value = keys.get(key)
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"header: {key} is not an integer from {low} to {high}")
    return value


def optional_integer(keys: dict[str, object], key: str, high: int) -> int | None:
    """The integer of a key, from 1 to `high`, or None if the key is not there."""
    return integer(keys, key, 1, high) if key in keys else None


def model_and_codebooks(keys: dict[str, object]) -> tuple[str, int]:
    """The model name and the number of codebooks, which must be one that this model has."""
    name = keys.get("m")
    found = MODEL_NAME.fullmatch(name) if isinstance(name, str) else None
    if found is None:
        raise ValueError(f"header: model name {name!r}")
    codebooks = integer(keys, "nc", 1, 255)
    require(codebooks in CODEBOOKS[found[1]], f"header: {codebooks} codebooks")
    return found[0], codebooks


def file_name(value: object) -> str:
    """The name of the original file, as the header has it."""
    if not isinstance(value, str) or not 1 <= len(value.encode()) <= 255:
        raise ValueError("header: name is not a text of 1 to 255 bytes")
    bad = value in (".", "..") or "/" in value or "\\" in value or CONTROL.search(value)
    require(not bad, f"header: name {value!r}")
    return value


def decibels(value: object) -> float:
    """The gain, as the header has it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -128 <= value <= 128:
        raise ValueError("header: gain is not a number from -128 to 128")
    return float(value)


def tag(value: object) -> tuple[str, str]:
    """One tag, as the header has it: key and value."""
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not all(isinstance(part, str) for part in value)
    ):
        raise ValueError("header: a tag is not two strings")
    key, text = value
    require(TAG_KEY.fullmatch(key) is not None, f"header: tag key {key!r}")
    return key, text


def all_tags(value: object) -> list[tuple[str, str]]:
    """The tags, as the header has them."""
    if not isinstance(value, list) or len(value) > 256:
        raise ValueError("header: tags are not an array of at most 256")
    return [tag(each) for each in value]


def read_header(cursor: Cursor) -> Header:
    """The header of version 1, whose first five bytes have been read."""
    length = cursor.number(4)
    require(length <= LONGEST_OBJECT, f"header of {length} bytes")
    data = cursor.take(length)
    checksum = crc32c(cursor.data[: cursor.at])
    require(cursor.number(4) == checksum, "header: checksum")
    keys = json_object(data, unique=True)
    model, codebooks = model_and_codebooks(keys)
    lm = integer(keys, "lm", 0, 255)
    longest = 1_024 if lm else 9_000  # frames
    return Header(
        model=model,
        codebooks=codebooks,
        lm=lm,
        chunk=integer(
            keys, "chunk", 1, longest // 150 if model.startswith("encodec_48khz") else longest
        ),
        rate=optional_integer(keys, "rate", 10_000_000),
        channels=optional_integer(keys, "channels", 65_535),
        name=file_name(keys["name"]) if "name" in keys else None,
        gain=decibels(keys.get("gain", 0)),
        tags=all_tags(keys.get("tags", [])),
    )


def read_chunk(cursor: Cursor, header: Header) -> Chunk:
    """One chunk, with its checksum tested; whether it fits the others is not."""
    begin = cursor.at
    kind = cursor.number(1)
    require(kind in (FULL_CHUNK, CUT_CHUNK), f"neither a chunk nor an index: {kind:#x} at {begin}")
    number = cursor.varint(0, MOST_SAMPLES // header.stride, "chunk number")
    samples = (
        cursor.varint(1, header.full - 1, "chunk samples") if kind == CUT_CHUNK else header.full
    )
    lengths = [samples]
    if header.segmented:
        lengths = [length for _, length in segments_of(samples, min(samples, header.stride))]
    frames = sum(map(frames_of, lengths))
    scales_size = 4 * len(lengths) if header.segmented else 0
    count = frames * header.codebooks
    low, high = (
        (scales_size, scales_size + 3 * count + 16)
        if header.lm
        else 2 * (scales_size + packed_size(count),)
    )
    size = cursor.varint(low, high, "chunk payload")
    payload = Cursor(cursor.take(size))
    checksum = crc32c(header.seed + cursor.data[begin : cursor.at])
    require(cursor.number(4) == checksum, f"chunk at {begin}: checksum")
    scales = [payload.scale() for _ in lengths] if header.segmented else []
    coded = payload.take(payload.left)
    codes = None
    if not header.lm:
        flat = unpack(coded, count)
        codes = [flat[i : i + frames] for i in range(0, count, frames)]
    start, length = number * header.stride, cursor.at - begin
    return Chunk(
        number,
        start,
        samples,
        frames,
        scales,
        codes,
        coded if header.lm else None,
        length,
        checksum,
    )


def check_order(header: Header, before: list[Chunk], chunk: Chunk) -> None:
    """Refuse a chunk that does not follow those before it."""
    require(chunk.number == len(before), f"chunk {chunk.number} where {len(before)} is due")
    cut = next((each for each in before[-2:] if each.samples < header.full), None)
    if cut is not None:
        rest = cut.start + cut.samples - chunk.start
        require(rest > 0, f"chunk {chunk.number} begins after the end")
        require(
            chunk.samples == min(header.full, rest),
            f"chunk {chunk.number} does not end where the audio does",
        )


def read_lengths(cursor: Cursor, count: int) -> list[int]:
    """The lengths of `count` chunks, in groups up to the end."""
    lengths: list[int] = []
    while cursor.left:
        group = cursor.varint(2, 2 * (count - len(lengths)) + 1, "group of the index")
        repeated = group % 2 == 1
        found = [
            cursor.varint(1, 2**56, "length in the index")
            for _ in range(1 if repeated else group // 2)
        ]
        lengths += found * (group // 2) if repeated else found
    require(len(lengths) == count, f"the index lists {len(lengths)} chunks of {count}")
    return lengths


def read_index(cursor: Cursor, header: Header, chunks: list[Chunk]) -> Index:
    """Index and trailer, which must fit the chunks that were there."""
    begin = cursor.at
    cursor.take(1)
    size = cursor.varint(0, 64 + 4 * len(chunks), "index payload")
    payload = Cursor(cursor.take(size))
    checksum = crc32c(header.seed + cursor.data[begin : cursor.at])
    require(cursor.number(4) == checksum, "index: checksum")
    length = cursor.at - begin
    samples = payload.varint(1, MOST_SAMPLES, "total samples")
    original_samples = payload.varint(0, MOST_SAMPLES, "original samples")
    of_checksums = crc32c(
        header.seed + b"".join(struct.pack(">I", chunk.checksum) for chunk in chunks)
    )
    require(payload.number(4) == of_checksums, "index: checksum of the checksums")
    require(
        -(-samples // header.stride) == len(chunks), f"{len(chunks)} chunks of {samples} samples"
    )
    for chunk in chunks:
        rest = samples - chunk.start
        require(
            chunk.samples == min(header.full, rest),
            f"chunk {chunk.number}: {chunk.samples} samples",
        )
    lengths = read_lengths(payload, len(chunks))
    require(
        lengths == [chunk.length for chunk in chunks], "the index has other lengths than the chunks"
    )
    require(cursor.number(4) == length, "trailer: length of the index")
    require(cursor.take(4) == END_MAGIC, "trailer: not ECDX")
    require(cursor.left == 0, "bytes after the trailer")
    return Index(samples, original_samples, of_checksums, lengths)


def read_version_1(cursor: Cursor) -> Version1:
    """A version 1 file, whose first five bytes have been read."""
    header = read_header(cursor)
    chunks: list[Chunk] = []
    while cursor.left:
        if cursor.data[cursor.at] == INDEX:
            return Version1(header, chunks, read_index(cursor, header, chunks))
        chunk = read_chunk(cursor, header)
        check_order(header, chunks, chunk)
        chunks.append(chunk)
    return Version1(header, chunks, None)


def read_segment(
    cursor: Cursor, start: int, samples: int, codebooks: int, *, scaled: bool
) -> Segment:
    """One segment of a version 0 file: perhaps a scale, then the codes frame after frame."""
    scale = cursor.scale() if scaled else None
    count = frames_of(samples) * codebooks
    flat = unpack(cursor.take(packed_size(count)), count)
    return Segment(start, samples, scale, [flat[book::codebooks] for book in range(codebooks)])


def read_version_0(cursor: Cursor) -> Version0:
    """A version 0 file, whose first five bytes have been read."""
    length = cursor.number(4)
    require(length <= LONGEST_OBJECT, f"header of {length} bytes")
    keys = json_object(cursor.take(length), unique=False)
    model, codebooks = model_and_codebooks(keys)
    samples = integer(keys, "al", 1, MOST_SAMPLES)
    lm = keys.get("lm")
    if not isinstance(lm, bool):
        raise ValueError("header: lm is neither true nor false")
    if lm:
        return Version0(model, samples, codebooks, lm, None, cursor.take(cursor.left))
    scaled = model.startswith("encodec_48khz")
    parts = segments_of(samples, samples) if scaled else iter([(0, samples)])
    segments = [
        read_segment(cursor, start, length, codebooks, scaled=scaled) for start, length in parts
    ]
    return Version0(model, samples, codebooks, lm, segments, None)


def read(data: bytes) -> Version0 | Version1:
    """All that the bytes of an `.ecdc` file say; ValueError if they break the description."""
    cursor = Cursor(data)
    require(cursor.take(4) == MAGIC, "not an .ecdc file")
    version = cursor.number(1)
    require(version in (0, 1), f"version {version}")
    return read_version_1(cursor) if version else read_version_0(cursor)
