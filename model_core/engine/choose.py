"""Which backend runs a model."""

import os
from typing import Literal, get_args

import torch

from ..errors import EncodecError
from ..model import EncodecModel
from .native import NativeEngine, find_library
from .protocol import Engine
from .torch_engine import TorchEngine

Backend = Literal["auto", "native", "torch"]
BACKEND_VARIABLE = "ENCODEC_BACKEND"
BACKENDS: tuple[str, ...] = get_args(Backend)


def make_engine(
    model: EncodecModel,
    device: torch.device | str = "cpu",
    max_batch: int | None = None,
    backend: str | None = None,
    threads: int = 1,
) -> Engine:
    """An engine for `model` on `device`.

    `backend`: `torch` runs anywhere; `native` (or one build of it, such as `native-avx2`) on a CPU
    in float32, where it was compiled; `auto` is `native` where that works, else `torch`. None is
    what the environment's `ENCODEC_BACKEND` says, or `auto`.
    `max_batch` is the most items a call takes; None leaves it to the backend. `threads` is for the
    native one: torch takes its own setting. Raises `EncodecError` for a backend
    that does not work here.
    """
    device = torch.device(device)
    backend = backend or os.environ.get(BACKEND_VARIABLE) or "auto"
    kind, _, build = backend.partition("-")
    if kind not in BACKENDS or (build and kind != "native"):
        raise EncodecError(f"no backend {backend!r}; there is {', '.join(BACKENDS)}")
    if kind == "torch":
        return TorchEngine(model, device, max_batch or 1)
    library = find_library(build or None)
    if library is not None and NativeEngine.supports(model, device):
        return NativeEngine(model, library, max_batch, threads)
    if kind == "auto":
        return TorchEngine(model, device, max_batch or 1)
    reason = "it was not compiled for this machine" if library is None else "not for this model"
    raise EncodecError(f"the backend {backend} does not work here: {reason}")
