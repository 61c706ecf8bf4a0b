"""A model ready for work: its engine, its language model and the tasks they offer."""

from __future__ import annotations

import copy
from typing import Self

import numpy as np
import torch

from ..checkpoints import WeightSet, shared_registry
from ..checkpoints.load import load_lm, load_network
from ..config import ModelConfig
from ..ecdc import Header, parse_model_name
from ..engine import DecodeItem, EncodedBlock, EncodeItem, EngineOptions, make_engine
from ..errors import EncodecError, WeightsUnavailableError
from ..nn.lm import LMModel
from ..nn.network import EncodecNetwork
from .entropy import LMDecoder, LMEncoder
from .work import FunctionTask, Task


class Codec:
    """A warm model.

    `name` is what headers call the model and its weights; `lm_name`, where there is a language
    model, names that as well.
    """

    def __init__(
        self,
        model: EncodecNetwork,
        lm: LMModel | None = None,
        lm_name: str | None = None,
        weights: WeightSet | None = None,
        device: torch.device | str = "cpu",
        options: EngineOptions = EngineOptions(),
    ):
        """`device` and `options` are for `make_engine`, which says what it raises."""
        self.name = model.name
        self.config: ModelConfig = model.config
        self.weights = weights
        self.device = torch.device(device)
        self.engine = make_engine(model, device, options)
        self.lm = None if lm is None else lm.to("cpu").eval()
        self.lm_name = None if lm is None else lm_name or model.name
        most = self.engine.max_batch
        self.encode_task: Task = FunctionTask(
            "encode", self.name, most, self.engine.encode, self.device
        )
        self.decode_task: Task = FunctionTask(
            "decode", self.name, most, self.engine.decode, self.device
        )
        self.lm_encode_task: Task = FunctionTask("lm_encode", self.name, 1, _lm_encode)
        self.lm_decode_task: Task = FunctionTask("lm_decode", self.name, 1, _lm_decode)

    @classmethod
    def load(
        cls,
        name: str,
        weights: str | None = None,
        device: torch.device | str = "cpu",
        options: EngineOptions = EngineOptions(),
        *,
        exact: bool = False,
        lm: bool = True,
    ) -> Self:
        """Load the model that `name` gets from `weights`, a source as in `ENCODEC_WEIGHTS`.

        `exact` is for decoding: precisely the weights that a header calls `name`, from wherever
        they lie. Without `lm`, a language model is not loaded (or downloaded) even if there is
        one. Raises `UnknownModelError`, `WeightsUnavailableError` and `WeightsError`.
        """
        registry = shared_registry(weights)
        found = registry.find_exact(name) if exact else registry.find(name)
        language_model = load_lm(registry.fetch_lm(found)) if lm and found.lm is not None else None
        return cls.from_weights(found, language_model, device, options)

    @classmethod
    def from_weights(
        cls,
        weights: WeightSet,
        lm: LMModel | None = None,
        device: torch.device | str = "cpu",
        options: EngineOptions = EngineOptions(),
    ) -> Self:
        """Load the network of `weights`; `lm` is their language model, if it is to be used.

        Raises `WeightsError`, and as `make_engine`.
        """
        model = load_network(weights, EncodecNetwork)
        return cls(model, lm, weights.lm_header_name, weights, device, options)

    def with_lm(self, lm: LMModel, lm_name: str | None = None) -> Self:
        """The same codec, engine and all, with a language model."""
        codec = copy.copy(self)
        codec.lm = lm.to("cpu").eval()
        codec.lm_name = lm_name or self.name
        return codec

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

    def lm_for(self, header: Header) -> LMModel:
        """The language model that a file was coded with.

        Raises `WeightsUnavailableError` where it is not this codec's. (A header that names one by
        its id has found it by that.)
        """
        lm = self.require_lm()
        if parse_model_name(header.model).lm is None and header.model != self.lm_name:
            raise WeightsUnavailableError(f"the language model of {header.model} is not here")
        return lm

    def header_name(self, lm: bool) -> str:
        """What an `.ecdc` header calls this codec."""
        return self.lm_name or self.name if lm else self.name

    def warm_up(self) -> None:
        """Run every network once on its device. Raises `EncodecError` if the result is no audio."""
        rng = np.random.default_rng(0)
        shape = (self.config.channels, self.engine.block_samples)
        samples = rng.normal(0, 0.1, shape).astype(np.float32)
        codebooks = self.config.num_codebooks
        self.engine.prepare()
        block = self.encode_task.run([EncodeItem(samples, codebooks, last=False)])[0]
        audio = self.decode_task.run([DecodeItem(block, last=False)])[0]
        if not np.isfinite(audio).all():
            raise EncodecError(f"{self.name} on {self.device} does not decode to finite values")
        if self.lm is not None:
            LMEncoder(self.lm, codebooks).encode(block.codes[:, :2])


def _lm_encode(
    items: list[tuple[LMEncoder, EncodedBlock]], threads: int | None = None
) -> list[bytes]:
    return [encoder.encode(block.codes) for encoder, block in items]


def _lm_decode(items: list[tuple[LMDecoder, int]], threads: int | None = None) -> list[np.ndarray]:
    return [decoder.decode(frames) for decoder, frames in items]
