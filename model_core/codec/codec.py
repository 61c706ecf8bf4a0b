"""A model ready for work: its engine, its language model and the tasks they offer."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import numpy as np

from ..checkpoints import LMSet, WeightSet, shared_registry
from ..checkpoints.read import read_lm, read_network
from ..config import ModelConfig
from ..ecdc import parse_model_name
from ..engine import DecodeItem, EncodeItem, EngineOptions, NetworkWeights, make_engine
from ..engine.choose import lm_build
from ..entropy import CodeSearch, ExactLM
from ..errors import BitstreamError, EncodecError, WeightsUnavailableError
from .work import Task

if TYPE_CHECKING:
    from ..nn.lm import LMModel
    from .entropy import LMDecoder, LMEncoder


class LanguageModel:
    """A codec's language model. It is loaded, and torch imported, when it is first used.

    `name` is what headers call the codec where it codes with this model.
    """

    def __init__(self, name: str, load: Callable[[], LMModel], exact: Callable[[], ExactLM]):
        """`load` and `exact` give it in floating point, for version 0, and in integers."""
        self.name = name
        self._load = load
        self._make_exact = exact
        self._loading = threading.Lock()
        self._model: LMModel | None = None
        self._exact: ExactLM | None = None

    def exact(self) -> ExactLM:
        """The model in integers, without torch. Raises what its maker raises."""
        with self._loading:
            if self._exact is None:
                self._exact = self._make_exact()
            return self._exact

    def encode_chunks(self, chunks: Sequence[np.ndarray], threads: int = 1) -> list[bytes]:
        """Chunks of codes `[K, T]` of a version 1 file."""
        return self.exact().encode(chunks, threads)

    def decode_chunks(
        self, num_codebooks: int, chunks: Sequence[tuple[bytes, int]], threads: int = 1
    ) -> list[np.ndarray]:
        """The codes of chunks, each given as bytes and frames. Raises `BitstreamError`."""
        decoded = self.exact().decode(chunks, num_codebooks, threads)
        codes = [some for some in decoded if some is not None]
        if len(codes) < len(chunks):
            raise BitstreamError("a chunk holds no codes of this language model")
        return codes

    def model(self) -> LMModel:
        """The model, on the CPU, in eval mode. Raises what `load` raises."""
        with self._loading:
            if self._model is None:
                self._model = self._load().to("cpu").eval()
            return self._model

    def encoder(self, num_codebooks: int) -> LMEncoder:
        """For one segment."""
        from .entropy import LMEncoder

        return LMEncoder(self.model(), num_codebooks)

    def decoder(self, num_codebooks: int, payload: BinaryIO) -> LMDecoder:
        """For one segment."""
        from .entropy import LMDecoder

        return LMDecoder(self.model(), num_codebooks, payload)


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
        self.engine = engine = make_engine(network, device, options)
        self.lm = lm
        self._search: CodeSearch | None = None
        self._searching = threading.Lock()
        self.encode_task = Task("encode", self.name, engine.max_batch, engine.encode, device)
        self.decode_task = Task("decode", self.name, engine.max_batch, engine.decode, device)
        call_each = partial(_call_each, options.threads)
        self.lm_encode_task = Task("lm_encode", self.name, 1, call_each)
        self.lm_decode_task = Task("lm_decode", self.name, 1, call_each)

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
            build = lm_build(options)
            language_model = LanguageModel(name, lambda: _load_lm(lm), lambda: _exact_lm(lm, build))
        return cls(read_network(weights), language_model, weights, device, options)

    def with_lm(self, lm: LanguageModel) -> Self:
        """The same codec, engine and all, with a language model."""
        codec = copy.copy(self)
        codec.lm, codec._search, codec._searching = lm, None, threading.Lock()
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

    def lm_of(self, model: str) -> LanguageModel:
        """The language model that a header of `model` means.

        Raises `WeightsUnavailableError` where it is not this codec's. (A header that names one by
        its id has found it by that.)
        """
        lm = self.require_lm()
        if parse_model_name(model).lm is None and model != lm.name:
            raise WeightsUnavailableError(f"the language model of {model} is not here")
        return lm

    def code_search(self) -> CodeSearch:
        """The search for codes that cost the language model few bits, made when it is first used.
        Raises as `require_lm` and `LanguageModel.exact`."""
        exact = self.require_lm().exact()
        with self._searching:
            if self._search is None:
                self._search = CodeSearch(exact, self.engine.codebooks())
            return self._search

    def warm_up(self) -> None:
        """Run encoder and decoder once on their device. Raises `EncodecError` if the result is no
        audio."""
        rng = np.random.default_rng(0)
        shape = (self.config.channels, self.engine.block_samples)
        samples = rng.normal(0, 0.1, shape).astype(np.float32)
        self.engine.prepare()
        item = EncodeItem(samples, self.config.num_codebooks, last=False)
        (block,) = self.engine.encode([item])
        (audio,) = self.engine.decode([DecodeItem(block, last=False)])
        if not np.isfinite(audio).all():
            raise EncodecError(f"{self.name} on {self.device} does not decode to finite values")


def _load_lm(weights: LMSet) -> LMModel:
    from ..checkpoints.load import load_lm  # imports torch

    return load_lm(weights)


def _exact_lm(weights: LMSet, build: str | None) -> ExactLM:
    return ExactLM.from_state(read_lm(weights), weights.config, build)


def _call_each(most: int, items: list[Callable[[int], Any]], threads: int | None) -> list[Any]:
    """A language model's share, stream by stream. An item is called with the number of threads it
    may use: version 0 uses one of them."""
    return [item(threads or most) for item in items]
