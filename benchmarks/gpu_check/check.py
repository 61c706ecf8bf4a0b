"""The input of every stage: a device, and the sizes."""

import copy
from dataclasses import dataclass, replace
from functools import lru_cache

import torch

from model_core.config import CONFIGS
from model_core.model import EncodecModel

from ..models import seeded_model

MODELS = tuple(CONFIGS)


@dataclass(frozen=True)
class Check:
    """`quick` tests the check itself: tiny networks and few rows."""

    name: str = "cuda"
    quick: bool = False

    @property
    def device(self) -> torch.device:
        return torch.device(self.name)

    @property
    def has_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def rows(self) -> int:
        """Rows of a usual batch."""
        return 2 if self.quick else 32

    def model(self, name: str) -> EncodecModel:
        """The model `name` on the host, with the same seeded weights at every call."""
        return copy.deepcopy(_model(name, self.quick))

    def wait(self) -> None:
        """Wait for the device; raises if it no longer works."""
        if self.has_gpu:
            torch.cuda.synchronize(self.device)


@lru_cache
def _model(name: str, narrow: bool) -> EncodecModel:
    config = CONFIGS[name]
    return seeded_model(name, replace(config, n_filters=4, dimension=16) if narrow else config)
