"""Listening tests: a folder with a page that plays clips as each contender leaves them.

`index.html` is whole (the files in `page`, put together), and opens from a disk. The clips lie
beside it, FLAC in base64 in a script each: a page from a disk may load scripts but not read files.
"""

import base64
import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from ..audio import FORMATS, encoder
from .clips import Clip
from .errors import EvaluationError
from .examine import Heard
from .loudness import levelled

CLIPS = 8
_SCRIPTS = ("chance", "abx", "clips", "player", "results", "main")
_ID = 12  # digits


def choose(clips: Sequence[Clip], count: int) -> list[Clip]:
    """All clips; `count` of them are to be heard: of each kind as many, from all over it."""
    by_kind: dict[str, list[Clip]] = {}
    for clip in clips:
        by_kind.setdefault(clip.category, []).append(clip)
    rounds = zip_longest(*(_spread(kind) for kind in by_kind.values()))
    turns = [clip for turn in rounds for clip in turn if clip is not None]
    heard = set(turns[:count])
    return [replace(clip, heard=True) if clip in heard else clip for clip in clips]


class ListeningFolder:
    """Writes the clips as they come, and the page at the end."""

    def __init__(self, folder: Path, model: str, sample_rate: int) -> None:
        """Makes the folder. Raises `EvaluationError` for one that has something in it, or that
        cannot be written."""
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise EvaluationError(f"{folder} is not an empty folder")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise EvaluationError(f"{folder} cannot be written: {error.strerror}") from None
        self._folder = folder
        self._data: dict[str, Any] = {"model": model, "sample_rate": sample_rate, "clips": []}
        self._hash = hashlib.sha256()

    def add(self, clip: Clip, heard: Sequence[Heard]) -> None:
        """A clip: the original and what was decoded, all `[C, n]`, which are made equally loud."""
        original, *decoded = heard
        rate, clips = self._data["sample_rate"], self._data["clips"]
        samples, gains = levelled(original.samples, [each.samples for each in decoded], rate)
        number = len(clips) + 1
        encoded = [base64.b64encode(_flac(each, rate)).decode() for each in samples]
        script = f"encodecClip({number}, {json.dumps(encoded)});\n"
        self._hash.update(script.encode())
        (self._folder / "clips").mkdir(parents=True, exist_ok=True)
        (self._folder / "clips" / f"{number}.js").write_text(script, encoding="ascii")
        clips.append(
            {
                "number": number,
                "name": clip.name,
                "category": clip.category,
                "versions": [
                    {"system": each.contender, "kbps": each.kbps, "gain_db": gain}
                    for each, gain in zip(heard, [0.0, *gains], strict=True)
                ],
            }
        )

    def finish(self) -> None:
        """Write the page."""
        self._hash.update(json.dumps(self._data).encode())
        data = {"id": self._hash.hexdigest()[:_ID], **self._data}
        (self._folder / "index.html").write_text(page(data), encoding="utf-8")


def page(data: Mapping[str, Any]) -> str:
    """The page, with `data` for its scripts. Nothing in it can end the element that holds it."""
    folder = files(__package__) / "page"
    style = (folder / "style.css").read_text("utf-8")
    script = "\n".join(_inlined((folder / f"{n}.js").read_text("utf-8")) for n in _SCRIPTS)
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {_digest(script)} 'self' file:",
            f"style-src {_digest(style)}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    parts = {
        "policy": policy,
        "style": style,
        "script": script,
        "data": json.dumps(data).replace("<", "\\u003c"),
    }
    text = (folder / "index.html").read_text("utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], text)


def _spread(clips: Sequence[Clip]) -> Iterator[Clip]:
    """All of them, far apart: the middle, then the middles of what is left of it and right."""
    waiting = [(0, len(clips))]
    while waiting:
        start, end = waiting.pop(0)
        if start < end:
            middle = (start + end) // 2
            yield clips[middle]
            waiting += [(start, middle), (middle + 1, end)]


def _flac(samples: np.ndarray, sample_rate: int) -> bytes:
    made = encoder(FORMATS["flac"], sample_rate, *samples.shape)
    return made.push(samples) + made.finish()


def _inlined(module: str) -> str:
    """A module without its imports and exports: all become one."""
    return re.sub(r"^export ", "", re.sub(r"^import .*\n", "", module, flags=re.M), flags=re.M)


def _digest(text: str) -> str:
    """Of an inline script or style, for the Content-Security-Policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
