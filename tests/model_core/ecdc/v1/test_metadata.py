"""What a header says of the recording; each wrong value is in `test_header`."""

import pytest

from model_core.ecdc.v1.metadata import (
    check_gain,
    check_name,
    check_source,
    check_tags,
    file_name,
)


def test_limits_are_within() -> None:
    check_source(10_000_000, 65_535)
    check_source(1, None)
    check_name("é" * 127 + "x")
    check_name(None)
    check_gain(-128)
    check_gain(128.0)
    check_tags(())
    check_tags((("k" * 64, ""),) * 256)
    check_tags(((" }", "any text\n=\0"), ("TITLE", "x"), ("title", "x")))


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("talk.wav", "talk.wav"),
        ("C:\\music\\a b.flac", "a b.flac"),
        ("../../etc/passwd", "passwd"),
        ("a\n\x7f\u202e\udce9.wav", "a.wav"),
        ("é" * 200, "é" * 127),
        *((nothing, None) for nothing in (None, "", ".", "..", "a/..", "\x00", "/")),
    ],
)
def test_any_name_becomes_one_that_a_header_can_say(given: str | None, name: str | None) -> None:
    assert file_name(given) == name
    check_name(file_name(given))
