"""The common input of the measurements of one model's servers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model_core.config import CONFIGS, ModelConfig

from ..footprint import Fit
from ..macs import Direction
from ..plan import DEFAULT_BANDWIDTH, Case, Plan
from ..results import Section
from ..table import Column
from .servers import PLAIN, Server

SERVER_COLUMNS = (Column("model", 13), Column("server", 13))
CALLS: dict[Direction, str] = {"encode": "compress", "decode": "decompress"}


@dataclass(frozen=True)
class Trial:
    """The running servers, with the same weights; `folder` is for files to post."""

    plan: Plan
    section: Section
    model: str
    servers: Sequence[Server]
    folder: Path
    fit: Fit

    @property
    def config(self) -> ModelConfig:
        return CONFIGS[self.model]

    def refusal(self, server: Server, direction: Direction, seconds: float) -> str | None:
        """The reason to skip a server for this length, or None; our service takes any."""
        if server.name != PLAIN:
            return None
        return self.fit.refusal("reference", self._case(direction, seconds))

    def needed(self, direction: Direction, seconds: float) -> float:
        """Bytes that the reference takes for this length. Raises `FootprintError`."""
        return self.fit.needed("reference", self._case(direction, seconds))

    def _case(self, direction: Direction, seconds: float) -> Case:
        return Case(self.model, direction, seconds, max(self.plan.threads), DEFAULT_BANDWIDTH)
