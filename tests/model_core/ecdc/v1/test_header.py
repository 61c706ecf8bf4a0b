"""The header of version 1: back as it was written, and nothing but a valid one in."""

import dataclasses
import json
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.config import ENCODEC_24KHZ, ENCODEC_48KHZ
from model_core.ecdc import Header as Version0
from model_core.ecdc.v1 import Header, default_chunk
from model_core.ecdc.v1.checksum import crc_of
from model_core.ecdc.v1.header import MAX_LM_CHUNK_FRAMES, parse_header
from model_core.entropy import MOST_FRAMES
from model_core.errors import BitstreamError

GOOD: dict[str, Any] = {"m": "encodec_24khz", "nc": 8, "lm": 0, "chunk": 76}
WRONG: dict[str, list[object]] = {
    "m": [None, 1, [], "", "a b", "encodec_24khz:", "encodec_16khz", "x" * 65],
    "nc": [None, "8", 8.0, True, 0, -1, 1, 3, 5, 33, 10**300],
    "lm": [None, False, True, -1, 256, 0.0, "0", 10**300],
    "chunk": [None, 0, -1, 1.0, True, 9001, 10**300, "76"],
    "rate": [None, 0, -1, 44_100.0, True, "44100", 10_000_001, 10**300],
    "channels": [None, 0, -1, 2.0, True, 65_536],
    "name": [None, 1, "", ".", "..", "a/b", "a\\b", "a\0", "a\n", "a\x7f", "x" * 256, "\ud800"],
    "gain": [None, "1", True, 128.1, -129, 10**300, float("nan"), float("inf")],
    "tags": [
        *(None, {}, "x", 1, [1], ["ab"], [["a"]], [["a", "b", "c"]], [["a", 1]], [{"a": "b"}]),
        *([["", "x"]], [["a=b", "x"]], [["é", "x"]], [["a\n", "x"]], [["k" * 65, "x"]]),
        *([["~", "x"]], [["a", "\ud800"]], [["a", "b"]] * 257),
    ],
}

ids = st.text("0123456789abcdef", min_size=8, max_size=8)
names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="/\\"))
keys = st.text(st.characters(min_codepoint=32, max_codepoint=125, exclude_characters="="))
models = st.one_of(
    st.tuples(st.just("encodec_24khz"), st.integers(0, 255)),
    st.tuples(ids.map("encodec_48khz:{}".format), st.just(0)),
    st.tuples(st.builds("encodec_48khz:{}+{}".format, ids, ids), st.integers(1, 255)),
)
"""Each with the number of a language model's arithmetic that goes with the name."""
headers = st.builds(
    lambda model, **fields: Header(model[0], lm=model[1], **fields),
    model=models,
    num_codebooks=st.sampled_from([2, 4, 8, 16]),
    chunk=st.integers(1, 6),
    rate=st.none() | st.integers(1, 10_000_000),
    channels=st.none() | st.integers(1, 65_535),
    name=st.none() | names.filter(lambda n: 0 < len(n.encode()) < 256 and n not in (".", "..")),
    gain=st.integers(-128, 128) | st.floats(-128, 128),
    tags=st.lists(
        st.tuples(keys.filter(lambda k: 0 < len(k) < 65), st.text(st.characters(codec="utf-8"))),
        max_size=4,
    ).map(tuple),
)


def file_of(meta: bytes, version: int = 1) -> bytes:
    data = struct.pack("!4sBI", b"ECDC", version, len(meta)) + meta
    return data + crc_of(data)


def of(**fields: object) -> bytes:
    return file_of(json.dumps(GOOD | fields).encode())


def read(data: bytes) -> Header:
    found = parse_header(data)
    assert found is not None
    return found[0]


@settings(deadline=None, derandomize=True)
@given(headers, st.binary(max_size=4))
def test_a_header_comes_back_and_a_part_of_it_is_none_yet(header: Header, after: bytes) -> None:
    data = header.to_bytes()
    assert parse_header(data + after) == (header, len(data))
    assert all(parse_header(data[:end]) is None for end in range(len(data)))


def test_bytes() -> None:
    """Beginning, object in this order without spaces or what is not known, checksum."""
    header = Header("encodec_24khz:1a2b3c4d", 8, 0, 76, tags=(("TITLE", "é"),))
    meta = '{"m":"encodec_24khz:1a2b3c4d","nc":8,"lm":0,"chunk":76,"tags":[["TITLE","é"]]}'.encode()
    assert header.to_bytes() == file_of(meta)


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in WRONG.items() for value in values]
)
def test_wrong_values_are_refused(key: str, value: object) -> None:
    with pytest.raises(BitstreamError):
        read(of(**{key: value}))
    if value is not None:
        field = {"m": "model", "nc": "num_codebooks"}.get(key, key)
        with pytest.raises(BitstreamError):
            dataclasses.replace(Header("encodec_24khz", 8, 0, 76), **{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "lm"), [("encodec_24khz:1a2b3c4d+5e6f7a8b", 0), ("encodec_24khz:1a2b3c4d", 1)]
)
def test_a_language_model_is_named_where_it_was_used_and_nowhere_else(model: str, lm: int) -> None:
    with pytest.raises(BitstreamError, match="language model"):
        read(of(m=model, lm=lm))


def test_a_language_model_codes_no_longer_chunks_than_it_can() -> None:
    def of_24khz(chunk: int) -> Header:
        return Header("encodec_24khz:00000000+11111111", 8, 1, chunk)

    assert MAX_LM_CHUNK_FRAMES == MOST_FRAMES
    assert of_24khz(1024).chunk == 1024
    with pytest.raises(BitstreamError, match=r"chunk is not in 1\.\.1024"):
        of_24khz(1025)
    with pytest.raises(BitstreamError, match=r"chunk is not in 1\.\.6"):
        Header("encodec_48khz:00000000+11111111", 8, 1, 7)


@pytest.mark.parametrize("key", GOOD)
def test_a_missing_value_is_refused(key: str) -> None:
    meta = {name: value for name, value in GOOD.items() if name != key}
    with pytest.raises(BitstreamError, match=repr(key)):
        read(file_of(json.dumps(meta).encode()))


def test_unknown_keys_are_ignored() -> None:
    assert read(of(later=[1, {"x": None}])) == Header("encodec_24khz", 8, 0, 76)


@pytest.mark.parametrize(
    "meta",
    [
        *(b"", b"{", b"[]", b"1", b"null", b"\xff{}", b"[" * 60_000, b'{"a":' * 10_000),
        json.dumps(GOOD)[:-1].encode() + b', "nc": 8}',
        json.dumps(GOOD)[:-1].encode() + b', "rate": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda meta: repr(meta[:12]),
)
def test_what_is_not_an_object_with_each_key_once_is_refused(meta: bytes) -> None:
    with pytest.raises(BitstreamError):
        read(file_of(meta))


def test_the_size_is_bounded_before_anything_is_kept() -> None:
    with pytest.raises(BitstreamError, match="bytes long"):
        parse_header(struct.pack("!4sBI", b"ECDC", 1, 64 * 1024 + 1))
    value = "x" * (64 * 1024 - 100)
    header = Header("encodec_24khz", 8, 0, 76, tags=(("A", value),))
    assert read(header.to_bytes()) == header
    with pytest.raises(BitstreamError, match="longer than"):
        dataclasses.replace(header, tags=(("A", value + "é" * 50),))


def test_a_wrong_beginning_is_known_at_once() -> None:
    assert parse_header(b"EC") is None
    for data in (b"R", b"ECDX", Version0("encodec_24khz", 1, 8, False).to_bytes(), b"ECDC\x02"):
        with pytest.raises(BitstreamError):
            parse_header(data)


def test_every_changed_byte_is_found() -> None:
    data = of(name="x.wav")
    for place in range(len(data)):
        for flip in (1, 0x80, 0xFF):
            changed = bytearray(data)
            changed[place] ^= flip
            try:
                assert parse_header(changed) is None  # a longer size: more bytes are to come
            except BitstreamError:
                continue
            assert 5 <= place < 9


def test_the_default_chunk_is_a_second_of_whole_bytes() -> None:
    assert default_chunk(ENCODEC_24KHZ) == 76
    assert default_chunk(ENCODEC_48KHZ) == 1
    for codebooks in (1, 2, 4, 8, 16, 32):
        assert 76 * codebooks * 10 % 8 == 0
