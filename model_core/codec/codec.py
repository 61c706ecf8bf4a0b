"""A model ready for work: its engine, its language model and the tasks they offer."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch

from ..checkpoints import Registry, WeightSet
from ..config import ModelConfig
from ..engine import DecodeItem, EncodedBlock, EncodeItem, Engine
from ..errors import EncodecError, WeightsUnavailableError
from ..lm import LMModel
from ..model import EncodecModel
from .entropy import LMDecoder, LMEncoder
from .work import FunctionTask, Task


class Codec:
    """A warm model.

    `name` is what headers call the model and its weights; `lm_name`, where there is a language
    model, names that as well.
    """

    def __init__(
        self,
        model: EncodecModel,
        lm: LMModel | None = None,
        lm_name: str | None = None,
        weights: WeightSet | None = None,
        device: torch.device | str = "cpu",
        max_batch: int = 1,
    ):
        self.name = model.name
        self.config: ModelConfig = model.config
        self.weights = weights
        self.device = torch.device(device)
        self.engine = Engine(model, device, max_batch)
        self.lm = None if lm is None else lm.to("cpu").eval()
        self.lm_name = None if lm is None else lm_name or model.name
        self.encode_task: Task = FunctionTask("encode", self.name, max_batch, self.engine.encode)
        self.decode_task: Task = FunctionTask("decode", self.name, max_batch, self._decode)
        self.lm_encode_task: Task = FunctionTask("lm_encode", self.name, 1, _lm_encode)
        self.lm_decode_task: Task = FunctionTask("lm_decode", self.name, 1, _lm_decode)

    @classmethod
    def load(
        cls,
        name: str,
        weights: str | None = None,
        device: torch.device | str = "cpu",
        max_batch: int = 1,
        *,
        exact: bool = False,
        registry: Registry | None = None,
    ) -> Self:
        """Load the model that `name` gets from `weights`, a source as in `ENCODEC_WEIGHTS`.

        `exact` is for decoding: precisely the weights that a header calls `name`, from wherever
        they lie. A long-lived program passes its own `registry` instead of `weights`. Raises
        `UnknownModelError`, `WeightsUnavailableError` and `WeightsError`.
        """
        registry = registry or Registry(weights)
        found = registry.find_exact(name) if exact else registry.find(name)
        lm = None if found.lm is None else registry.load_lm(found)
        return cls(registry.load(found), lm, found.lm_header_name, found, device, max_batch)

    @property
    def has_lm(self) -> bool:
        return self.lm is not None

    @property
    def tasks(self) -> list[Task]:
        """Everything this codec can be asked to do."""
        return [self.encode_task, self.decode_task, self.lm_encode_task, self.lm_decode_task]

    def require_lm(self) -> LMModel:
        """The language model. Raises `WeightsUnavailableError` when there is none."""
        if self.lm is None:
            raise WeightsUnavailableError(f"there is no language model for {self.name}")
        return self.lm

    def header_name(self, lm: bool) -> str:
        """What an `.ecdc` header calls this codec."""
        return self.lm_name or self.name if lm else self.name

    def warm_up(self) -> None:
        """Run every network once on its device. Raises `EncodecError` if the result is no audio."""
        rng = np.random.default_rng(0)
        shape = (self.config.channels, self.engine.block_samples)
        samples = rng.normal(0, 0.1, shape).astype(np.float32)
        codebooks = self.config.num_codebooks
        block = self.encode_task.run([EncodeItem(samples, codebooks, last=False)])[0]
        audio = self.decode_task.run([DecodeItem(block, last=False)])[0]
        if not np.isfinite(audio).all():
            raise EncodecError(f"{self.name} on {self.device} does not decode to finite values")
        if self.lm is not None:
            LMEncoder(self.lm, codebooks).encode(block.codes[:, :2])

    def _decode(self, items: list[DecodeItem]) -> list[np.ndarray]:
        return [samples.numpy() for samples in self.engine.decode(items)]


def _lm_encode(items: list[tuple[LMEncoder, EncodedBlock]]) -> list[bytes]:
    return [encoder.encode(block.codes) for encoder, block in items]


def _lm_decode(items: list[tuple[LMDecoder, int]]) -> list[np.ndarray]:
    return [decoder.decode(frames) for decoder, frames in items]
