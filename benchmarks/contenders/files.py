"""Whole audio to an `.ecdc` file with the language model, and back: ours and the reference."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from model_core.codec import Compressor, Decompressor, iterate_now, run_now
from model_core.codec.codec_cache import codec_of
from model_core.ecdc import read_header
from model_core.engine import EngineOptions
from model_core.model import EncodecModel
from model_core.nn.lm import LMModel

from .listing import OURS
from .reference import reference_model

Samples = npt.NDArray[np.float32]


class FileCodec(Protocol):
    """A codec that writes and reads files, with one model's weights and language model."""

    @property
    def backend(self) -> str:
        """The name of the backend."""

    def compress(self, samples: Samples, bandwidth: float) -> bytes:
        """Samples `[C, n]` to a file at `bandwidth` kbps."""

    def decompress(self, file: bytes) -> Samples:
        """A file to samples `[C, n]`."""


class OurFiles:
    """The streams of the command line and the service. `backend`: see `Ours`."""

    def __init__(self, model: EncodecModel, lm: LMModel, backend: str | None = None):
        """Raises `EncodecError` for a backend that does not work here."""
        self._codec = codec_of(
            model, lm, options=EngineOptions(backend, threads=torch.get_num_threads())
        )

    @property
    def backend(self) -> str:
        return self._codec.engine.name

    def compress(self, samples: Samples, bandwidth: float) -> bytes:
        compressor = Compressor(self._codec, bandwidth, lm=True)
        payload = run_now(compressor.push(samples)) + run_now(compressor.finish())
        return compressor.header.to_bytes() + payload

    def decompress(self, file: bytes) -> Samples:
        stream = io.BytesIO(file)
        header = read_header(stream)
        return np.concatenate(
            list(iterate_now(Decompressor(self._codec, header, stream).blocks())), axis=1
        )


class ReferenceFiles:
    """Its `compress` and `decompress`. Raises `MissingContenderError`."""

    backend = "torch"

    def __init__(self, model: EncodecModel, lm: LMModel):
        self._model = reference_model(model.config.name, model.state_dict())
        self._lm = _reference_lm(lm)
        self._model.get_lm_model = lambda: self._lm  # it would download the published one
        self._package = import_module("encodec.compress")

    def compress(self, samples: Samples, bandwidth: float) -> bytes:
        self._model.set_target_bandwidth(bandwidth)
        file: bytes = self._package.compress(self._model, torch.from_numpy(samples), use_lm=True)
        return file

    def decompress(self, file: bytes) -> Samples:
        with _known(self._package.MODELS, self._model.name, lambda: self._model):
            samples: Samples = self._package.decompress(file)[0].numpy()
        return samples


def _reference_lm(lm: LMModel) -> Any:
    """Its language model with these weights."""
    reference = import_module("encodec.model").LMModel(
        n_q=lm.n_q,
        card=lm.card,
        dim=lm.dim,
        num_layers=len(lm.transformer.layers),
        past_context=lm.transformer.past_context,
    )
    reference.load_state_dict(lm.state_dict())
    return reference.eval()


def build_files(
    name: str, model: EncodecModel, lm: LMModel, backend: str | None = None
) -> FileCodec | None:
    """The contender `name`, or None if it has no language model; otherwise see `build`."""
    if name == OURS:
        return OurFiles(model, lm, backend)
    return ReferenceFiles(model, lm) if name == "reference" else None


@contextmanager
def _known(models: dict[str, Any], name: str, factory: Callable[[], Any]) -> Iterator[None]:
    """Inside, the reference finds this model by name; otherwise every call would load it."""
    before = models[name]
    models[name] = factory
    try:
        yield
    finally:
        models[name] = before
