"""Tests of the second reader: vectors, examples of the description, damage, broken rules."""

from __future__ import annotations

import json
import random
import re
import struct
from pathlib import Path

import pytest

from tests.vectors.second_reader import Cursor, Version0, Version1, crc32c, read, unpack

HERE = Path(__file__).parent
VECTORS = sorted((HERE).glob("*.ecdc"))
VERSION_1 = [path for path in VECTORS if path.read_bytes()[4] == 1]


def name_of(path: Path) -> str:
    """The name of a vector, for pytest."""
    return path.stem


def described(found: Version0 | Version1) -> dict[str, object]:
    """What a file says, in the form of the JSON beside the vectors."""
    if isinstance(found, Version0):
        return {
            "version": 0,
            "header": {"model": found.model, "codebooks": found.codebooks, "lm": found.lm},
            "samples": found.samples,
            "segments": [vars(segment) for segment in found.segments or []],
        }
    chunks: list[dict[str, object]] = []
    for chunk in found.chunks:
        said: dict[str, object] = {
            key: getattr(chunk, key) for key in ("number", "start", "samples", "scales", "frames")
        }
        if chunk.codes is not None:
            said["codes"] = chunk.codes
        if chunk.payload is not None:
            said["bytes"] = chunk.payload.hex()
        chunks.append(said)
    return {
        "version": 1,
        "header": vars(found.header) | {"tags": [list(tag) for tag in found.header.tags]},
        "complete": found.complete,
        "samples": found.samples,
        "original_samples": found.index.original_samples if found.index else 0,
        "chunks": chunks,
    }


def boundaries(data: bytes) -> set[int]:
    """Where a version 1 file may end, merely not complete: after the header and each chunk."""
    found = read(data)
    assert isinstance(found, Version1)
    places = [9 + int.from_bytes(data[5:9], "big") + 4]
    for chunk in found.chunks:
        places.append(places[-1] + chunk.length)
    return set(places)


@pytest.mark.parametrize("path", VECTORS, ids=name_of)
def test_vector(path: Path) -> None:
    """The reader finds what the JSON beside the vector says."""
    found = read(path.read_bytes())
    assert described(found) == json.loads(path.with_suffix(".json").read_text("utf-8"))
    if isinstance(found, Version1) and found.index is not None:
        assert found.index.samples == found.samples
        assert found.index.lengths == [chunk.length for chunk in found.chunks]


@pytest.mark.parametrize("path", VERSION_1, ids=name_of)
def test_flipped_bits(path: Path) -> None:
    """Every flipped bit is found."""
    data = path.read_bytes()
    for place in random.Random(1).sample(range(8 * len(data)), 300):
        broken = bytearray(data)
        broken[place // 8] ^= 1 << place % 8
        with pytest.raises(ValueError, match=r"\S"):
            read(bytes(broken))


@pytest.mark.parametrize("path", VERSION_1, ids=name_of)
def test_cuts(path: Path) -> None:
    """Every cut is found; one between two chunks is no error, but not complete."""
    data = path.read_bytes()
    allowed = boundaries(data)
    for place in random.Random(2).sample(range(len(data)), 100):
        if place in allowed:
            continue
        with pytest.raises(ValueError, match=r"\S"):
            read(data[:place])
    for place in allowed:
        found = read(data[:place])
        assert isinstance(found, Version1)
        assert not found.complete


@pytest.mark.parametrize("path", VERSION_1, ids=name_of)
def test_more_bytes(path: Path) -> None:
    """Nothing may follow the trailer, and no stray byte a chunk."""
    with pytest.raises(ValueError, match=r"\S"):
        read(path.read_bytes() + b"\0")


def test_every_bit_of_a_small_file() -> None:
    """In one small vector every bit and every cut counts."""
    data = (HERE / "v1-mono-full.ecdc").read_bytes()
    for place in range(8 * len(data)):
        broken = bytearray(data)
        broken[place // 8] ^= 1 << place % 8
        with pytest.raises(ValueError, match=r"\S"):
            read(bytes(broken))
    for place in set(range(len(data))) - boundaries(data):
        with pytest.raises(ValueError, match=r"\S"):
            read(data[:place])


def test_examples_of_the_description() -> None:
    """Checksum, varint, packed numbers and the file in hex are as the page says."""
    assert crc32c(b"123456789") == 0xE3069283
    assert Cursor(b"\xac\x02").varint(0, 999, "example") == 300
    assert unpack(bytes.fromhex("0108f03f00"), 4) == [1, 2, 1023, 0]
    page = (HERE.parents[1] / "docs" / "format.md").read_text("utf-8")
    lines = re.findall(r"```hex\n(.*?)```", page, re.DOTALL)[0].splitlines()
    example = bytes.fromhex("".join(line.split("     ")[0].split("  ")[0] for line in lines))
    assert example == (HERE / "v1-mono.ecdc").read_bytes()


def version_1_header(text: str) -> bytes:
    """A version 1 header of this JSON, with its checksum."""
    data = text.encode("utf-8", "surrogatepass")
    head = b"ECDC\1" + struct.pack(">I", len(data)) + data
    return head + struct.pack(">I", crc32c(head))


GOOD = '{"m":"encodec_24khz","nc":2,"lm":0,"chunk":4'


@pytest.mark.parametrize(
    "more",
    [
        "",
        ',"gain":1',
        ',"other":{"a":1,"a":2}',
        ',"tags":[]',
        ',"name":"a"',
        ',"tags":[["a}","\\u0000"]]',
    ],
)
def test_good_headers(more: str) -> None:
    """Headers that the description allows; alone they are a file that is not complete."""
    found = read(version_1_header(GOOD + more + "}"))
    assert isinstance(found, Version1)
    assert not found.complete
    assert found.samples == 0


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        '{"m":"encodec_24khz","nc":3,"lm":0,"chunk":4}',
        '{"m":"encodec_48khz","nc":32,"lm":0,"chunk":4}',
        '{"m":"encodec_48khz","nc":2,"lm":0,"chunk":61}',
        '{"m":"encodec_24khz:1A2B3C4D","nc":2,"lm":0,"chunk":4}',
        '{"m":"encodec_24khz","nc":2,"lm":256,"chunk":4}',
        '{"m":"encodec_24khz","nc":2,"lm":false,"chunk":4}',
        '{"m":"encodec_24khz","nc":2,"chunk":4}',
        GOOD + ',"lm":0}',
        GOOD + ',"rate":0}',
        GOOD + ',"rate":null}',
        GOOD + ',"channels":65536}',
        GOOD + ',"channels":1.0}',
        GOOD + ',"gain":128.5}',
        GOOD + ',"gain":null}',
        GOOD + ',"gain":NaN}',
        GOOD + ',"gain":true}',
        GOOD + ',"name":""}',
        GOOD + ',"name":".."}',
        GOOD + ',"name":"a/b"}',
        GOOD + ',"name":"a\\\\b"}',
        GOOD + ',"name":"a\\n"}',
        GOOD + ',"tags":null}',
        GOOD + ',"tags":[["a","b","c"]]}',
        GOOD + ',"tags":[["","b"]]}',
        GOOD + ',"tags":[["a=","b"]]}',
        GOOD + ',"tags":[["~","b"]]}',
        GOOD + ',"other":' + "[" * 30_000 + "]" * 30_000 + "}",
        GOOD + ',"other":"\ud800"}',
    ],
)
def test_bad_headers(text: str) -> None:
    """Headers that the description forbids, with a checksum that holds."""
    with pytest.raises(ValueError, match=r"\S"):
        read(version_1_header(text))


def stereo_file(covered: list[int], total: int, *, full: int = 48_000) -> bytes:
    """A 48 kHz file of chunks of one segment that cover so many samples, all codes 0."""
    seed = b"encodec_48khz" + bytes([2, 0, 0, 1])
    data = version_1_header('{"m":"encodec_48khz","nc":2,"lm":0,"chunk":1}')
    checksums, lengths = b"", b""
    for number, samples in enumerate(covered):
        cut = b"" if samples == full else varint(samples)
        payload = bytes(4 + (10 * 2 * -(-samples // 320) + 7) // 8)
        chunk = (
            (b"\xed" if cut else b"\xec") + varint(number) + cut + varint(len(payload)) + payload
        )
        checksum = struct.pack(">I", crc32c(seed + chunk))
        data, checksums = data + chunk + checksum, checksums + checksum
        lengths += varint(3) + varint(len(chunk) + 4)
    body = varint(total) + b"\0" + struct.pack(">I", crc32c(seed + checksums)) + lengths
    index = b"\xee" + varint(len(body)) + body
    index += struct.pack(">I", crc32c(seed + index))
    return data + index + struct.pack(">I", len(index)) + b"ECDX"


def varint(number: int) -> bytes:
    """A number as a varint."""
    rest = b""
    while number > 127:
        rest += bytes([number & 127 | 128])
        number >>= 7
    return rest + bytes([number])


@pytest.mark.parametrize(
    ("covered", "total"),
    [
        ([1], 1),
        ([47_520], 47_520),
        ([47_521, 1], 47_521),
        ([48_000, 480], 48_000),
        ([48_000, 481], 48_001),
    ],
)
def test_good_ends(covered: list[int], total: int) -> None:
    """Ends of 48 kHz files that the description allows."""
    found = read(stereo_file(covered, total))
    assert isinstance(found, Version1)
    assert found.complete
    assert found.samples == total


@pytest.mark.parametrize(
    ("covered", "total"),
    [
        ([47_521], 47_521),
        ([48_000], 48_000),
        ([48_000, 479], 47_999),
        ([47_521, 2], 47_521),
        ([47_520, 1], 47_521),
        ([100, 100], 200),
        ([48_000, 480], 48_001),
    ],
)
def test_bad_ends(covered: list[int], total: int) -> None:
    """Ends of 48 kHz files that it does not, with checksums that hold."""
    with pytest.raises(ValueError, match=r"\S"):
        read(stereo_file(covered, total))
