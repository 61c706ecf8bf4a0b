"""A model ready for work: its engine, its language model and the tasks they offer."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Self

import numpy as np

from ..checkpoints import LMSet, WeightSet, shared_registry
from ..checkpoints.read import read_network
from ..config import ModelConfig
from ..ecdc import Header, parse_model_name
from ..engine import (
    DecodeItem,
    EncodedBlock,
    EncodeItem,
    EngineOptions,
    NetworkWeights,
    make_engine,
)
from ..errors import EncodecError, WeightsUnavailableError
from .entropy import LanguageModel, LMDecoder, LMEncoder
from .work import FunctionTask, Task

if TYPE_CHECKING:
    from ..nn.lm import LMModel


class Codec:
    """A warm model, with a language model or without.

    `name` is what headers call the model and its weights. `weights` says where they come from.
    """

    def __init__(
        self,
        network: NetworkWeights,
        lm: LanguageModel | None = None,
        weights: WeightSet | None = None,
        device: str = "cpu",
        options: EngineOptions = EngineOptions(),
    ):
        """`device` and `options` are for `make_engine`, which says what it raises."""
        self.name = network.name
        self.config: ModelConfig = network.config
        self.weights = weights
        self.device = device
        self.engine = make_engine(network, device, options)
        self.lm = lm
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
        device: str = "cpu",
        options: EngineOptions = EngineOptions(),
        *,
        exact: bool = False,
        lm: bool = True,
    ) -> Self:
        """Load the model that `name` gets from `weights`, a source as in `ENCODEC_WEIGHTS`.

        `exact` is for decoding: precisely the weights that a header calls `name`, from wherever
        they lie. Without `lm`, a language model is not used (or downloaded) even if there is
        one. Raises `UnknownModelError`, `WeightsUnavailableError` and `WeightsError`.
        """
        registry = shared_registry(weights)
        found = registry.find_exact(name) if exact else registry.find(name)
        language_model = registry.fetch_lm(found) if lm and found.lm is not None else None
        return cls.from_weights(found, language_model, device, options)

    @classmethod
    def from_weights(
        cls,
        weights: WeightSet,
        lm: LMSet | None = None,
        device: str = "cpu",
        options: EngineOptions = EngineOptions(),
    ) -> Self:
        """Load the network of `weights`; `lm` is their language model, if it is to be used. Its
        file is read when it is first used, and what that raises is raised then.

        Raises `WeightsError`, and as `make_engine`.
        """
        name = weights.lm_header_name
        language_model = None
        if lm is not None and name is not None:
            language_model = LanguageModel(name, lambda: _load_lm(lm))
        return cls(read_network(weights), language_model, weights, device, options)

    def with_lm(self, lm: LanguageModel) -> Self:
        """The same codec, engine and all, with a language model."""
        codec = copy.copy(self)
        codec.lm = lm
        return codec

    @property
    def has_lm(self) -> bool:
        return self.lm is not None

    @property
    def lm_name(self) -> str | None:
        """What headers call the model and its language model, where there is one."""
        return None if self.lm is None else self.lm.name

    def require_lm(self) -> LanguageModel:
        """The language model. Raises `WeightsUnavailableError` when there is none."""
        if self.lm is None:
            raise WeightsUnavailableError(f"there is no language model for {self.name}")
        return self.lm

    def lm_for(self, header: Header) -> LanguageModel:
        """The language model that a file was coded with.

        Raises `WeightsUnavailableError` where it is not this codec's. (A header that names one by
        its id has found it by that.)
        """
        lm = self.require_lm()
        if parse_model_name(header.model).lm is None and header.model != lm.name:
            raise WeightsUnavailableError(f"the language model of {header.model} is not here")
        return lm

    def header_name(self, lm: bool) -> str:
        """What an `.ecdc` header calls this codec."""
        return self.lm_name or self.name if lm else self.name

    def warm_up(self) -> None:
        """Run encoder and decoder once on their device. Raises `EncodecError` if the result is no
        audio."""
        rng = np.random.default_rng(0)
        shape = (self.config.channels, self.engine.block_samples)
        samples = rng.normal(0, 0.1, shape).astype(np.float32)
        self.engine.prepare()
        item = EncodeItem(samples, self.config.num_codebooks, last=False)
        block = self.encode_task.run([item])[0]
        audio = self.decode_task.run([DecodeItem(block, last=False)])[0]
        if not np.isfinite(audio).all():
            raise EncodecError(f"{self.name} on {self.device} does not decode to finite values")


def _load_lm(weights: LMSet) -> LMModel:
    from ..checkpoints.load import load_lm  # imports torch

    return load_lm(weights)


def _lm_encode(
    items: list[tuple[LMEncoder, EncodedBlock]], threads: int | None = None
) -> list[bytes]:
    return [encoder.encode(block.codes) for encoder, block in items]


def _lm_decode(items: list[tuple[LMDecoder, int]], threads: int | None = None) -> list[np.ndarray]:
    return [decoder.decode(frames) for decoder, frames in items]
