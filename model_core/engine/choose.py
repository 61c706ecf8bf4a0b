"""Which backend runs a model."""

import os
from typing import Literal, get_args

import torch

from ..errors import EncodecError
from ..model import EncodecModel
from .native import NativeEngine, find_library
from .protocol import Engine, Precision
from .torch_engine import TorchEngine

Backend = Literal["auto", "native", "torch"]
BACKEND_VARIABLE = "ENCODEC_BACKEND"
BACKENDS: tuple[str, ...] = get_args(Backend)
PRECISIONS: tuple[str, ...] = get_args(Precision)


def make_engine(
    model: EncodecModel,
    device: torch.device | str = "cpu",
    max_batch: int | None = None,
    backend: str | None = None,
    threads: int = 1,
    precision: Precision = "float32",
) -> Engine:
    """An engine for `model` on `device`.

    `backend`: `torch` runs anywhere; `native` (or one build of it, such as `native-avx2`) on a CPU
    in float32, where it was compiled; `auto` is `native` where that works, else `torch`. None is
    what the environment's `ENCODEC_BACKEND` says, or `auto`.
    `max_batch` is the most items a call takes; None leaves it to the backend. `threads` is for the
    native one: torch takes its own setting. `precision` is for decoding: `bfloat16`, which the
    native backend has where the processor multiplies it (AVX512-BF16), is 1.6 to 2 times as fast
    as `float32`, and what rounding adds is 42 dB below the audio. Raises `EncodecError` for a
    backend or a precision that does not work here.
    """
    device = torch.device(device)
    backend = backend or os.environ.get(BACKEND_VARIABLE) or "auto"
    kind, _, build = backend.partition("-")
    if kind not in BACKENDS or (build and kind != "native"):
        raise EncodecError(f"no backend {backend!r}; there is {', '.join(BACKENDS)}")
    if precision not in PRECISIONS:
        raise EncodecError(f"no precision {precision!r}; there is {', '.join(PRECISIONS)}")
    library = None if kind == "torch" else find_library(build or None)
    if (
        library is not None
        and NativeEngine.supports(model, device)
        and (precision == "float32" or library.has_bfloat16)
    ):
        return NativeEngine(model, library, max_batch, threads, precision)
    if precision != "float32":
        raise EncodecError(
            f"decoding in {precision} does not work here: it takes the native backend on a CPU "
            "with AVX512-BF16"
        )
    if kind in ("auto", "torch"):
        return TorchEngine(model, device, max_batch or 1)
    reason = "it was not compiled for this machine" if library is None else "not for this model"
    raise EncodecError(f"the backend {backend} does not work here: {reason}")
