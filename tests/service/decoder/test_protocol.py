"""What a decoding child says of a recording; it is not trusted."""

import json

import pytest

from model_core.audio import clean_tags
from model_core.ecdc.v1 import Header
from model_core.ecdc.v1.header import MAX_HEADER_BYTES
from service.decoder.protocol import MAX_SOURCE, Source, parse_source

TAGS = (("TITLE", "Ünder"), ("ARTIST", "A"), ("ARTIST", "B"))


def test_a_source_comes_back() -> None:
    source = Source(44_100, 6, TAGS, 1.5)
    assert parse_source(source.to_bytes()) == source


@pytest.mark.parametrize("character", '"é€')
def test_the_longest_tags_fit_into_the_message_and_into_a_header(character: str) -> None:
    tags = clean_tags([("ALBUMARTIST", character * 2000)] * 99)
    longest = Source(768_000, 64, tags)
    assert len(longest.to_bytes()) <= MAX_SOURCE
    assert parse_source(longest.to_bytes()) == longest
    header = Header("encodec_24khz", 8, 0, 76, 768_000, 64, '"' * 255, tags=tags)
    assert len(header.to_bytes()) <= MAX_HEADER_BYTES


def test_tags_are_cleaned_again() -> None:
    claimed = [["title", "a\x1b"], ["PLACE", "here"], [1, 2], *[["GENRE", "x" * 10**4]] * 99]
    source = parse_source(json.dumps([8_000, 1, claimed]).encode())
    assert source.tags == (("TITLE", "a"), *[("GENRE", "x" * 1000)] * 23)


@pytest.mark.parametrize("claimed", ["-1.0", "1e99", "NaN", "Infinity", '"1"', "null", "[]", "7"])
def test_a_length_that_cannot_be_is_none(claimed: str) -> None:
    assert parse_source(f"[8000, 1, [], {claimed}]".encode()).seconds is None


@pytest.mark.parametrize(
    "said",
    [
        *(b"", b"\xff", b"{}", b"[]", b"[8000, 1]", b"[8000, 1, 1]", b"[8000, 1, [[1]]]"),
        *(b"[8000.0, 1, []]", b"[true, 1, []]", b"[3999, 1, []]", b"[768001, 1, []]"),
        *(b"[8000, 0, []]", b"[8000, 65, []]", b"[8000, null, []]", b"[" * 60_000),
    ],
    ids=range(15),
)
def test_what_no_child_says_is_refused(said: bytes) -> None:
    with pytest.raises(ValueError, match="no recording"):
        parse_source(said)
