"""The `.ecdc` header: the reference's bytes out, and nothing but a valid header in."""

import io
import json
import struct

import pytest
from encodec import binary
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.ecdc import Header, ModelName, parse_model_name, read_header
from model_core.errors import BitstreamError, TruncatedBitstreamError, UnknownModelError

GOOD = {"m": "encodec_24khz", "al": 24_000, "nc": 8, "lm": False}
WRONG: dict[str, list[object]] = {
    "m": [
        *(None, 1, [], "", "a b", "../x", "encodec_24khz:", "x" * 65),
        *(f"encodec_24khz:{tail}" for tail in ("1234567", "ABCDEF01", "12345678+", "+")),
    ],
    "al": [None, "1", 1.0, True, [1], 0, -1, 2**53, 10**300],
    "nc": [None, "8", 8.0, True, 0, -1, 1, 3, 5, 33, 99, 10**300],
    "lm": [None, 0, 1, "false", []],
}

hex8 = st.text("0123456789abcdef", min_size=8, max_size=8)
models = st.one_of(
    st.tuples(st.sampled_from(["encodec_24khz", "encodec_48khz"]), st.booleans()),
    st.tuples(hex8.map("encodec_24khz:{}".format), st.just(False)),
    st.tuples(st.builds("encodec_48khz:{}+{}".format, hex8, hex8), st.just(True)),
)
"""Each with or without a language model, as the name says."""
headers = st.builds(
    lambda model, samples, books: Header(model[0], samples, books, model[1]),
    models,
    st.integers(1, 2**53 - 1),
    st.sampled_from([2, 4, 8, 16]),
)


class OneByteAtATime(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(1, -1 if size is None else size))


def file_of(meta: bytes, magic: bytes = b"ECDC", version: int = 0) -> bytes:
    return struct.pack("!4sBI", magic, version, len(meta)) + meta


def read(data: bytes) -> Header:
    return read_header(io.BytesIO(data))


@settings(deadline=None, derandomize=True)
@given(headers)
def test_bytes_are_the_references(header: Header) -> None:
    meta = {
        "m": header.model,
        "al": header.audio_length,
        "nc": header.num_codebooks,
        "lm": header.lm,
    }
    theirs = io.BytesIO()
    binary.write_ecdc_header(theirs, meta)
    assert header.to_bytes() == theirs.getvalue()
    assert binary.read_ecdc_header(io.BytesIO(header.to_bytes())) == meta


@settings(deadline=None, derandomize=True)
@given(headers, st.binary(max_size=20))
def test_reading_gives_it_back_and_stops_at_the_payload(header: Header, payload: bytes) -> None:
    for stream in (io.BytesIO, OneByteAtATime):
        fo = stream(header.to_bytes() + payload)
        assert read_header(fo) == header
        assert fo.tell() == len(header.to_bytes())


def test_every_truncation_is_one() -> None:
    data = Header("encodec_24khz", 24_000, 8, False).to_bytes()
    for end in range(len(data)):
        with pytest.raises(TruncatedBitstreamError):
            read(data[:end])


def test_unknown_keys_and_other_orders_are_tolerated() -> None:
    meta = {"x": [1, {"y": None}], **dict(reversed(GOOD.items()))}
    assert read(file_of(json.dumps(meta, indent=2).encode())) == Header(
        "encodec_24khz", 24_000, 8, False
    )


@pytest.mark.parametrize(
    "data",
    [
        b"RIFF",
        b"RIFF\x00\x00\x00\x00WAVEfmt ",
        b"E\x00",
        file_of(json.dumps(GOOD).encode(), magic=b"ecdc"),
        file_of(json.dumps(GOOD).encode(), version=1),
        file_of(json.dumps(GOOD).encode(), version=255),
        struct.pack("!4sBI", b"ECDC", 0, 2**32 - 1),
        struct.pack("!4sBI", b"ECDC", 0, 64 * 1024 + 1) + b"{" * 70_000,
        file_of(b""),
        file_of(b"{"),
        file_of(b"{}"),
        file_of(b"null"),
        file_of(b"[]"),
        file_of(b'"encodec_24khz"'),
        file_of(b"\xff\xfe{}"),
        file_of(json.dumps(GOOD).encode("utf-16")),
        file_of(b"[" * 60_000),
        file_of(b'{"x":' * 10_000 + b"1" + b"}" * 10_000),
        file_of(b'{"m": "encodec_24khz", "al": 1' + b"0" * 5_000 + b', "nc": 8, "lm": false}'),
        file_of(b'{"m": "encodec_24khz", "al": 1' + b"0" * 4_000 + b', "nc": 8, "lm": false}'),
        file_of(b'{"m": "encodec_24khz", "al": NaN, "nc": 8, "lm": false}'),
        file_of(b'{"m": "\\ud800", "al": 1, "nc": 8, "lm": false}'),
    ],
    ids=range(22),
)
def test_what_is_no_header_is_refused(data: bytes) -> None:
    with pytest.raises(BitstreamError) as error:
        read(data)
    assert not isinstance(error.value, TruncatedBitstreamError)


@pytest.mark.parametrize("key", GOOD)
def test_a_missing_key_is_refused(key: str) -> None:
    meta = {k: v for k, v in GOOD.items() if k != key}
    with pytest.raises(BitstreamError, match=key):
        read(file_of(json.dumps(meta).encode()))


@pytest.mark.parametrize(
    ("key", "value"),
    [(key, value) for key, values in WRONG.items() for value in values],
)
def test_a_wrong_value_is_refused(key: str, value: object) -> None:
    with pytest.raises(BitstreamError):
        read(file_of(json.dumps(GOOD | {key: value}).encode()))


@pytest.mark.parametrize(
    ("model", "lm"), [("encodec_24khz:1a2b3c4d+5e6f7a8b", False), ("encodec_24khz:1a2b3c4d", True)]
)
def test_a_language_model_is_named_where_it_was_used_and_nowhere_else(model: str, lm: bool) -> None:
    with pytest.raises(BitstreamError, match="language model"):
        read(file_of(json.dumps(GOOD | {"m": model, "lm": lm}).encode()))


def test_codebooks_are_those_of_the_model() -> None:
    assert Header("encodec_24khz", 1, 32, False).num_codebooks == 32
    for model in ("encodec_48khz", "encodec_48khz:12345678"):
        with pytest.raises(BitstreamError, match="32 codebooks"):
            Header(model, 1, 32, False)


def test_a_model_nobody_knows_is_left_to_who_looks_it_up() -> None:
    header = read(file_of(json.dumps(GOOD | {"m": "encodec_96khz", "nc": 7}).encode()))
    assert header.model == "encodec_96khz"


@settings(deadline=None, derandomize=True)
@given(st.binary(max_size=200))
def test_noise_never_crashes(data: bytes) -> None:
    for noise in (data, b"ECDC\x00\x00\x00\x00" + data, file_of(data)):
        with pytest.raises(BitstreamError):
            read(noise)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("encodec_24khz", ModelName("encodec_24khz")),
        ("encodec_24khz:1a2b3c4d", ModelName("encodec_24khz", "1a2b3c4d")),
        ("encodec_24khz:1a2b3c4d+5e6f7a8b", ModelName("encodec_24khz", "1a2b3c4d", "5e6f7a8b")),
    ],
)
def test_model_names(text: str, name: ModelName) -> None:
    assert parse_model_name(text) == name
    assert str(name) == text


@pytest.mark.parametrize(
    "text",
    ["", ":1a2b3c4d", "a:1a2b3c4", "a:1A2B3C4D", "a+5e6f7a8b", "a:1a2b3c4d+", "a:1a2b3c4d\n", "é"],
)
def test_what_is_no_model_name(text: str) -> None:
    with pytest.raises(UnknownModelError):
        parse_model_name(text)


def test_parts_that_make_no_model_name() -> None:
    for parts in (("a:1a2b3c4d",), ("a", None, "5e6f7a8b"), ("a", "1a2b3c4d+5e6f7a8b"), ("a", "1")):
        with pytest.raises(UnknownModelError):
            ModelName(*parts)
