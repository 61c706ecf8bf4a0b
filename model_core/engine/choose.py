"""Which backend runs a model."""

import os
from typing import Literal, get_args

import torch

from ..errors import EncodecError
from ..model import EncodecModel
from .fixed import FixedEngine
from .native import NativeEngine, find_library
from .protocol import EncodePrecision, Engine, Precision
from .torch_engine import TorchEngine

Backend = Literal["auto", "native", "cuda", "torch"]
BACKEND_VARIABLE = "ENCODEC_BACKEND"
BACKENDS: tuple[str, ...] = get_args(Backend)
PRECISIONS: tuple[str, ...] = get_args(Precision)
ENCODE_PRECISIONS: tuple[str, ...] = get_args(EncodePrecision)


def make_engine(
    model: EncodecModel,
    device: torch.device | str = "cpu",
    max_batch: int | None = None,
    backend: str | None = None,
    threads: int = 1,
    precision: Precision = "float32",
    encode_precision: EncodePrecision = "float32",
) -> Engine:
    """An engine for `model` on `device`.

    `backend`: `torch` runs anywhere; `native` (or one build of it, such as `native-avx2`) on a CPU
    in float32, where it was compiled; `cuda` on a CUDA device; `auto` is what is made for the
    device where that works, else `torch`. None is what the environment's `ENCODEC_BACKEND` says,
    or `auto`.

    `max_batch` is the most items a call takes; None leaves it to the backend. `threads` is for the
    native one: torch takes its own setting. `precision` is for decoding: `bfloat16`, which the
    native backend has where the processor multiplies it (AVX512-BF16) and the CUDA backend
    everywhere, or `tf32` on CUDA; `encode_precision` likewise. What they change is in the README.
    Raises `EncodecError` for a backend or a precision that does not work here.
    """
    backend = backend or os.environ.get(BACKEND_VARIABLE) or "auto"
    kind, _, build = backend.partition("-")
    if kind not in BACKENDS or (build and kind != "native"):
        raise EncodecError(f"no backend {backend!r}; there is {', '.join(BACKENDS)}")
    for wanted, known in ((precision, PRECISIONS), (encode_precision, ENCODE_PRECISIONS)):
        if wanted not in known:
            raise EncodecError(f"no precision {wanted!r}; there is {', '.join(known)}")
    device = torch.device(device)
    if kind == "auto":
        kind = "cuda" if device.type == "cuda" else _elsewhere(model, device, precision)
    if kind == "cuda":
        if device.type != "cuda":
            raise EncodecError(f"the backend cuda does not work here: {device} is no CUDA device")
        return FixedEngine(model, device, max_batch, precision, encode_precision)
    if encode_precision != "float32":
        raise EncodecError(f"encoding in {encode_precision} does not work here: it takes a GPU")
    if kind == "native":
        library = find_library(build or None)
        if library is None:
            raise EncodecError(f"the backend {backend} does not work here: it was not compiled")
        if not NativeEngine.supports(model, device):
            raise EncodecError(f"the backend {backend} does not work here: not for this model")
        if precision == "tf32" or (precision == "bfloat16" and not library.has_bfloat16):
            raise _refusal(precision)
        return NativeEngine(model, library, max_batch, threads, precision)
    if precision != "float32":
        raise _refusal(precision)
    return TorchEngine(model, device)


def _elsewhere(model: EncodecModel, device: torch.device, precision: Precision) -> Backend:
    """The native backend where it can do this, else torch."""
    library = find_library()
    able = library is not None and (precision == "float32" or library.has_bfloat16)
    return "native" if able and NativeEngine.supports(model, device) else "torch"


def _refusal(precision: Precision) -> EncodecError:
    needs = "it takes a GPU"
    if precision == "bfloat16":
        needs += ", or the native backend on a CPU with AVX512-BF16"
    return EncodecError(f"decoding in {precision} does not work here: {needs}")
