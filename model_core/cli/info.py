"""`--info`: what `.ecdc` files are, for people."""

import sys
from collections.abc import Iterator
from typing import BinaryIO

from ..codec.inspection import Inspection, Original
from ..codec.inspectors import HEAD_BYTES, inspector
from ..process import coloured, printable
from .files import open_source

_BLOCK_BYTES = 1 << 16
_RED, _GREEN, _PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[0m"
_CHANNELS = {1: "mono", 2: "stereo"}


def show(source: str, out: BinaryIO) -> bool:
    """Write a block of lines about a file; False if it is damaged.

    Raises `BitstreamError` for a file whose header is damaged, `CommandError` and `OSError`.
    """
    found = _inspected(source)
    lines = [source, *(f"  {key:<12}{value}" for key, value in _facts(found))]
    *others, state = map(printable, lines)
    if coloured(sys.stdout):
        state = f"{_RED if found.intact is False else _GREEN}{state}{_PLAIN}"
    text = "".join(line + "\n" for line in (*others, state))
    out.write(text.encode(sys.stdout.encoding or "utf-8", "backslashreplace"))
    return found.intact is not False


def _inspected(source: str) -> Inspection:
    with open_source(source) as file:
        inspected = inspector(file.read(HEAD_BYTES))
        while data := file.read(_BLOCK_BYTES):
            inspected.feed(data)
    return inspected.inspection(available=False)  # nobody looked


def _facts(found: Inspection) -> Iterator[tuple[str, str]]:
    yield "version", str(found.version)
    yield "model", f"{found.model}: {found.sample_rate:,} Hz, {_CHANNELS[found.channels]}"
    yield "weights", found.weights
    yield "duration", f"{found.duration_seconds:.3f} s, {found.audio_length:,} samples"
    yield "bit rate", f"{found.kbps:.2f} kbps"
    yield "codebooks", f"{found.codebooks}, {found.bandwidth_kbps:g} kbps"
    lm = f"yes, weights {found.lm_weights}" if found.lm_weights else "yes"
    yield "lm", lm if found.lm else "no"
    if found.chunks is not None:
        yield "chunks", f"{found.chunks:,}"
    if original := _original(found.original):
        yield "original", original
    for key, value in found.tags or ():
        yield "tag", f"{key}={value}"
    state = {True: "intact", False: "damaged", None: "not known"}[found.intact]
    yield "state", f"{state}: {found.note}" if found.note else state


def _original(original: Original | None) -> str:
    if original is None:
        return ""
    channels = original.channels
    facts = [
        f"{original.sample_rate:,} Hz" if original.sample_rate else "",
        _CHANNELS.get(channels, f"{channels} channels") if channels else "",
        f"{original.samples:,} samples" if original.samples else "",
        original.name or "",
    ]
    return ", ".join(fact for fact in facts if fact)
