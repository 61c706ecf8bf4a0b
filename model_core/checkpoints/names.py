"""What weights are called, and how a set of them is described before anything big is read.

An id is eight hex digits over the tensors of a network, whatever file they come in. A published
file is known by its name, which carries the beginning of its sha256.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np

from ..config import CONFIGS, LMConfig, ModelConfig, config_of
from ..ecdc import ModelName, parse_model_name
from ..errors import WeightsUnavailableError

Kind = Literal["model", "lm"]

Layout = Literal["reference", "own", "hub"]
"""A reference `.th`, this project's `.safetensors`, or a Hugging Face model folder."""

Source = Literal["bundled", "official", "hf", "folder"]

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

TRAINING_STATISTICS = ("inited", "cluster_size", "embed_avg")
"""What training keeps about a codebook. Coding never reads it, and not every format carries it."""

ID_LENGTH = 8

_FILE_NAME = re.compile(r"(\w+)-([0-9a-f]{8,64})\.(th|safetensors)", re.ASCII)


def is_statistic(name: str) -> bool:
    """Whether the tensor called `name` has no influence on coding."""
    return "codebook." in name and name.rsplit(".", 1)[-1] in TRAINING_STATISTICS


def weights_id(state: Mapping[str, np.ndarray]) -> str:
    """Eight hex digits of a sha256 over the tensors that coding depends on.

    `state` has reference names. The tensors go in sorted by name, each as a line
    `<name> <shape joined by x>` and then its values, float32, little-endian, row-major.
    """
    sha = hashlib.sha256()
    for name in sorted(state):
        if is_statistic(name):
            continue
        values = np.asarray(state[name], "<f4", order="C")
        sha.update(f"{name} {'x'.join(map(str, values.shape))}\n".encode())
        sha.update(values.tobytes())
    return sha.hexdigest()[:ID_LENGTH]


def parse_known_name(text: str) -> ModelName:
    """A header's name of a model that exists. Raises `UnknownModelError`."""
    name = parse_model_name(text)
    config_of(name.name)
    return name


def stem(name: str, kind: Kind) -> str:
    """How a file name begins: `encodec_24khz`, or `encodec_lm_24khz` for its language model."""
    return name if kind == "model" else name.replace("encodec_", "encodec_lm_", 1)


@dataclass(frozen=True)
class FileName:
    """A file name of the form `NAME-<hex>.th` or `NAME-<hex>.safetensors`.

    In a `.th` the hex is the beginning of the file's sha256, in a `.safetensors` it is the id of
    the tensors (see `weights_id`).
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


FileState = tuple[Path, int, int]
"""What changes when a file does: its path, its time of change (ns) and its size (bytes)."""


def file_state(path: Path) -> FileState:
    """Raises `WeightsUnavailableError` where there is no such file."""
    try:
        stat = path.stat()
    except OSError as error:
        raise WeightsUnavailableError(f"{path} has gone: {error.strerror}") from error
    return path, stat.st_mtime_ns, stat.st_size


@dataclass(frozen=True)
class LMSet:
    """A language model's weights."""

    config: LMConfig
    path: Path
    layout: Layout
    published: bool = False
    id: str | None = None  # 8 hex digits; None while published weights are unread
    made_for: str | None = None  # header name of the weights it belongs to, if the file says


@dataclass(frozen=True)
class WeightSet:
    """A model's weights and, where there is one, the language model that goes with them."""

    config: ModelConfig
    path: Path  # of the file; for a Hugging Face model its folder
    layout: Layout
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
