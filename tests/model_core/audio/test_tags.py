"""Tags: those that describe a recording, cleaned, from every container that has them and back."""

import io

import pytest

from model_core.audio import clean_tags, open_audio
from model_core.audio.tags import MAX_TAGS, MAX_VALUE_BYTES, metadata_of, tags_of
from tests.media import tagged, tone

METADATA = {
    "title": "A talk é",
    "artist": "Somebody",
    "album_artist": "All",
    "track": "3/9",
    "comment": "one\nand another\0line",
    "date": "2001",
    "location": "+52.1+13.4",
    "x-made-with": "a phone",
}


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [
        ("flac", "flac", 44_100),
        ("ogg", "libopus", 48_000),
        ("mp3", "libmp3lame", 44_100),
        ("ipod", "aac", 44_100),
        ("matroska", "flac", 44_100),
    ],
)
def test_every_container_says_the_same(container: str, codec: str, rate: int) -> None:
    with open_audio(
        io.BytesIO(tagged(container, codec, tone(0.1, rate), rate, METADATA)), 24_000, 1
    ) as source:
        tags = dict(source.info.tags)
    assert tags.pop("COMMENT") in ("one and another line", "one and another")  # \0 ends some
    assert tags == {
        "TITLE": "A talk é",
        "ARTIST": "Somebody",
        "ALBUMARTIST": "All",
        "TRACKNUMBER": "3/9",
        "DATE": "2001",
    }


def test_only_known_keys_and_values_that_can_be_shown_are_kept() -> None:
    given = [
        ("title", " a\x1b[31m\u202e b\ud800\n"),
        ("TITLE", "\0\n"),
        ("GEO", "here"),
        ("metadata_block_picture", "x" * 10**6),
        ("Genre", "é" * 10**5),
        *[("ARTIST", str(n)) for n in range(100)],
    ]
    title, genre, *artists = kept = clean_tags(given)
    assert title == ("TITLE", "a [31m b")
    assert genre == ("GENRE", "é" * (MAX_VALUE_BYTES // 2))
    assert artists == [("ARTIST", str(n)) for n in range(MAX_TAGS - 2)]
    assert clean_tags(kept) == kept


def test_the_container_counts_before_its_streams() -> None:
    assert tags_of({"title": "a"}, {"TITLE": "b", "artist": "c"}) == (
        ("TITLE", "a"),
        ("ARTIST", "c"),
    )
    assert tags_of({}, {}) == ()


def test_ffmpeg_gets_each_key_once() -> None:
    tags = (("TITLE", "a"), ("DISCNUMBER", "1"), ("title", "b"), ("OTHER", "c"))
    assert metadata_of(tags) == {"title": "a; b", "disc": "1"}
