"""What a set of weights is and where it lies: descriptions, before anything big is read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..config import ModelConfig
from ..ecdc import ModelName
from ..errors import WeightsUnavailableError
from .netconfig import LMConfig

Layout = Literal["reference", "own", "hub"]
"""A reference `.th`, this project's `.safetensors`, or a Hugging Face model folder."""

Source = Literal["bundled", "official", "hf", "folder"]

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
