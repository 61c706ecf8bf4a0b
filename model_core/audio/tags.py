"""Tags of recordings as Vorbis comments: from FFmpeg's metadata and back.

They are anybody's text, and are not trusted. Only keys that describe a recording are kept (nothing
that says where it was made, or with which device), each value is cut and in one line.
"""

from collections.abc import Iterable, Mapping

Tags = tuple[tuple[str, str], ...]
"""Vorbis comments: (KEY, value)."""

MAX_TAGS = 24
MAX_VALUE_BYTES = 1000
"""All together fit into the header of an `.ecdc` file, whatever of them is escaped in its JSON."""

# Vorbis comments (xiph.org/vorbis/doc/v-comment.html, and those in common use) whose names in
# FFmpeg are others.
_OTHER_NAMES = {
    "ALBUMARTIST": "album_artist",
    "DISCNUMBER": "disc",
    "ORGANIZATION": "publisher",
    "TRACKNUMBER": "track",
}
_SAME_NAMES = (
    *("ALBUM", "ARTIST", "COMMENT", "COMPOSER", "COPYRIGHT", "DATE", "DESCRIPTION", "GENRE"),
    *("ISRC", "LICENSE", "PERFORMER", "TITLE"),
)
_TO_FFMPEG = {key: key.lower() for key in _SAME_NAMES} | _OTHER_NAMES
_FROM_FFMPEG = {name: key for key, name in _TO_FFMPEG.items()}


def clean_tags(tags: Iterable[tuple[str, str]]) -> Tags:
    """Those of known keys, in capitals, with values that can be shown; at most `MAX_TAGS` of at
    most `MAX_VALUE_BYTES`."""
    kept: list[tuple[str, str]] = []
    for key, value in tags:
        text = _one_line(value)
        if key.upper() in _TO_FFMPEG and text and len(kept) < MAX_TAGS:
            kept.append((key.upper(), text))
    return tuple(kept)


def tags_of(*metadata: Mapping[str, str]) -> Tags:
    """The tags in FFmpeg's metadata of a container and its streams; where several say the same, the
    first counts."""
    found: dict[str, str] = {}
    for mapping in metadata:
        for name, value in mapping.items():
            found.setdefault(_FROM_FFMPEG.get(name.lower(), ""), value)
    return clean_tags(found.items())


def metadata_of(tags: Tags) -> dict[str, str]:
    """FFmpeg's metadata of `tags`, which need not be clean. FFmpeg has each key once: values of
    the same one are joined."""
    joined: dict[str, str] = {}
    for key, value in clean_tags(tags):
        name = _TO_FFMPEG[key]
        joined[name] = f"{joined[name]}; {value}" if name in joined else value
    return joined


def _one_line(text: str) -> str:
    words = "".join(c if c.isprintable() else " " for c in text).split()
    return " ".join(words).encode()[:MAX_VALUE_BYTES].decode(errors="ignore")
