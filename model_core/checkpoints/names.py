"""What weights are called: in a `.ecdc` header, in a file name, in the published set."""

import re
from dataclasses import dataclass
from typing import Literal, Self

from ..config import CONFIGS, config_of
from ..ecdc import ModelName, parse_model_name
from .digest import ID_LENGTH

Kind = Literal["model", "lm"]

OFFICIAL_URL = "https://dl.fbaipublicfiles.com/encodec/v0/"
OFFICIAL_FILES: dict[tuple[str, Kind], str] = {
    ("encodec_24khz", "model"): "encodec_24khz-d7cc33bc.th",
    ("encodec_48khz", "model"): "encodec_48khz-7e698e3e.th",
    ("encodec_24khz", "lm"): "encodec_lm_24khz-1608e3c0.th",
    ("encodec_48khz", "lm"): "encodec_lm_48khz-7add9fc3.th",
}
"""The published files; the hex is the beginning of each one's sha256."""

HUB_REPOSITORIES = {name: f"facebook/{name}" for name in CONFIGS}
"""The published models on the Hugging Face hub."""

_FILE_NAME = re.compile(r"(\w+)-([0-9a-f]{8,64})\.(th|safetensors)", re.ASCII)


def parse_known_name(text: str) -> ModelName:
    """A header's name of a model that exists. Raises `UnknownModelError`."""
    name = parse_model_name(text)
    config_of(name.name)
    return name


@dataclass(frozen=True)
class FileName:
    """A file name of the form `NAME-<hex>.th` or `NAME-<hex>.safetensors`.

    In a `.th` the hex is the beginning of the file's sha256, in a `.safetensors` it is the id of
    the tensors (see `digest`).
    """

    name: str
    kind: Kind
    hex: str
    suffix: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """None for any other file."""
        match = _FILE_NAME.fullmatch(text)
        if match is None or (match[3] == "safetensors" and len(match[2]) != ID_LENGTH):
            return None
        for name in CONFIGS:
            if match[1] == name:
                return cls(name, "model", match[2], match[3])
            if match[1] == stem(name, "lm"):
                return cls(name, "lm", match[2], match[3])
        return None


def stem(name: str, kind: Kind) -> str:
    """The file name's beginning: `encodec_24khz`, or `encodec_lm_24khz` for its LM."""
    return name if kind == "model" else name.replace("encodec_", "encodec_lm_", 1)
