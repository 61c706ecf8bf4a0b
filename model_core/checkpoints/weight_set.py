"""How a set of weights is described before anything big is read: its files, origin and ids."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from ..config import CONFIGS, LMConfig, ModelConfig, config_of
from ..ecdc import ModelName, parse_model_name

Kind = Literal["model", "lm"]
Source = Literal["bundled", "official", "hf", "folder"]

PUBLISHED_FILES: dict[tuple[str, Kind], str] = {
    ("encodec_24khz", "model"): "encodec_24khz-d7cc33bc.th",
    ("encodec_48khz", "model"): "encodec_48khz-7e698e3e.th",
    ("encodec_24khz", "lm"): "encodec_lm_24khz-1608e3c0.th",
    ("encodec_48khz", "lm"): "encodec_lm_48khz-7add9fc3.th",
}
"""Meta's files; a model may have none. The hex is the beginning of each one's sha256."""

ID_LENGTH = 8
"""Hex digits of an id (`files.weights_id`)."""

_FILE_NAME = re.compile(r"(\w+)-([0-9a-f]{8,64})\.(th|safetensors)", re.ASCII)


def file_stem(name: str, kind: Kind) -> str:
    """How a file name begins: `encodec_24khz`, or `encodec_lm_24khz` for its language model."""
    return name if kind == "model" else name.replace("encodec_", "encodec_lm_", 1)


_STEMS: dict[str, tuple[str, Kind]] = {
    file_stem(name, "model"): (name, "model") for name in CONFIGS
}
_STEMS |= {file_stem(name, "lm"): (name, "lm") for name in CONFIGS}


@dataclass(frozen=True)
class FileName:
    """A file name of the form `NAME-<hex>.th` or `NAME-<hex>.safetensors`.

    In a `.th` the hex is the beginning of the file's sha256, in a `.safetensors` it is the id.
    """

    name: str
    kind: Kind
    hex: str
    suffix: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """None for any other file."""
        match = _FILE_NAME.fullmatch(text)
        if match is None or match[1] not in _STEMS:
            return None
        if match[3] == "safetensors" and len(match[2]) != ID_LENGTH:
            return None
        return cls(*_STEMS[match[1]], match[2], match[3])


def parse_known_name(text: str) -> ModelName:
    """A header's name of a model that exists. Raises `UnknownModelError`."""
    name = parse_model_name(text)
    config_of(name.name)
    return name


@dataclass(frozen=True)
class LMSet:
    """A language model's weights."""

    config: LMConfig
    path: Path
    published: bool = False
    id: str | None = None  # 8 hex digits; None while published weights are unread
    made_for: str | None = None  # header name of the weights it belongs to, if the file says


@dataclass(frozen=True)
class WeightSet:
    """A model's weights and, where there is one, the language model that goes with them."""

    config: ModelConfig
    path: Path  # of the file; for a Hugging Face model its folder
    source: Source
    origin: str  # the value of `ENCODEC_WEIGHTS` that finds them again
    published: bool = False
    id: str | None = None  # 8 hex digits; None while published weights are unread
    lm: LMSet | None = None
    note: str | None = None  # why these weights and not those asked for

    @property
    def name(self) -> str:
        """The model's plain name."""
        return self.config.name

    @property
    def header_name(self) -> str:
        """What an `.ecdc` header calls the model with these weights."""
        return str(ModelName(self.name, None if self.published else self.id))

    @property
    def lm_header_name(self) -> str | None:
        """The same where the language model codes too; None without one."""
        if self.lm is None:
            return None
        if self.published and self.lm.published:
            return self.name
        return str(ModelName(self.name, self.id, self.lm.id))
