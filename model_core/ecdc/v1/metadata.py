"""What a header may say of the recording: its rate, channels, name, gain and tags."""

from pathlib import PurePosixPath
from typing import Any

from ...errors import BitstreamError

MAX_RATE = 10_000_000  # Hz
MAX_CHANNELS = 65_535
MAX_NAME_BYTES = 255
MAX_GAIN = 128  # dB, either way
MAX_TAGS = 256
MAX_KEY_LENGTH = 64

Tags = tuple[tuple[str, str], ...]


def check_source(rate: Any, channels: Any) -> None:
    """Raises `BitstreamError`; None is good."""
    for what, value, most in (("rate", rate, MAX_RATE), ("channels", channels, MAX_CHANNELS)):
        if value is not None and not (type(value) is int and 1 <= value <= most):
            raise BitstreamError(f"the header's {what} is not in 1..{most}")


def check_name(name: Any) -> None:
    """A file's name without folders: a reader may write to it. Raises `BitstreamError`."""
    if name is None:
        return
    if not isinstance(name, str) or not 1 <= len(_utf8(name, "name")) <= MAX_NAME_BYTES:
        raise BitstreamError(f"the header's name is not of 1 to {MAX_NAME_BYTES} bytes")
    if name in (".", "..") or any(c in "/\\\x7f" or c < " " for c in name):
        raise BitstreamError("the header's name is not the name of a file")


def file_name(given: str | None) -> str | None:
    """What a header can say of the name that somebody gives a file: without folders and control
    characters, cut to `MAX_NAME_BYTES`. None where nothing is left."""
    last = PurePosixPath((given or "").replace("\\", "/")).name
    printable = "".join(c for c in last if c.isprintable())
    name = printable.encode()[:MAX_NAME_BYTES].decode(errors="ignore")
    return None if name in ("", ".", "..") else name


def check_gain(gain: Any) -> None:
    """Raises `BitstreamError`."""
    if type(gain) not in (int, float) or not -MAX_GAIN <= gain <= MAX_GAIN:  # NaN does not pass
        raise BitstreamError(f"the header's gain is not in -{MAX_GAIN}..{MAX_GAIN} dB")


def check_tags(tags: Any) -> None:
    """Raises `BitstreamError` for anything but Vorbis comments, and for too many."""
    if not isinstance(tags, tuple) or len(tags) > MAX_TAGS:
        raise BitstreamError(f"the header's tags are not a list of at most {MAX_TAGS}")
    for tag in tags:
        if not isinstance(tag, tuple) or len(tag) != 2 or not all(isinstance(t, str) for t in tag):
            raise BitstreamError("a tag of the header is not a pair of strings")
        key, value = tag
        if not 1 <= len(key) <= MAX_KEY_LENGTH or not all(
            " " <= c <= "}" and c != "=" for c in key
        ):
            raise BitstreamError(
                f"a tag's key is not of 1 to {MAX_KEY_LENGTH} ASCII characters without '='"
            )
        _utf8(value, "tags")


def _utf8(text: str, what: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise BitstreamError(f"the header's {what} hold half a character") from None
