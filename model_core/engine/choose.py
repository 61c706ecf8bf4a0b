"""Which backend runs a model, and on which device; torch is imported only where it is needed."""

import ctypes
import os
import re
from dataclasses import replace
from typing import Literal, get_args

from ..errors import EncodecError
from .native import NativeEngine, find_library
from .protocol import EncodePrecision, Engine, EngineOptions, NetworkWeights, Precision

Backend = Literal["auto", "native", "cuda", "torch"]

_DEVICE = re.compile(r"cpu|cuda(?::(\d{1,3}))?", re.ASCII)


def make_engine(
    weights: NetworkWeights, device: str = "cpu", options: EngineOptions = EngineOptions()
) -> Engine:
    """An engine for `weights` on `device`. Only the torch and CUDA backends import torch.

    Raises `EncodecError` for a backend or a precision that does not work here.
    """
    precision, encode_precision = options.precision, options.encode_precision
    backend = _wanted(options)
    kind, _, build = backend.partition("-")
    if kind not in get_args(Backend) or (build and kind != "native"):
        raise EncodecError(f"no backend {backend!r}; there is {', '.join(get_args(Backend))}")
    for wanted, known in ((precision, Precision), (encode_precision, EncodePrecision)):
        if wanted not in get_args(known):
            raise EncodecError(f"no precision {wanted!r}; there is {', '.join(get_args(known))}")
    on_gpu = device.startswith("cuda")
    can_capture = weights.config.lstm > 0  # the steps of the CUDA backend have an LSTM
    if kind == "auto":
        kind = "cuda" if on_gpu and can_capture else _elsewhere(weights, device, precision)
    if kind == "cuda":
        if not on_gpu:
            raise EncodecError(f"the backend cuda does not work here: {device} is no CUDA device")
        if not can_capture:
            raise EncodecError("the backend cuda does not work here: not for this model")
        return _cuda_engine(weights, device, options)
    if encode_precision != "float32":
        raise EncodecError(f"encoding in {encode_precision} does not work here: it takes a GPU")
    if kind == "native":
        library = find_library(build or None)
        if library is None:
            raise EncodecError(f"the backend {backend} does not work here: it was not compiled")
        if not NativeEngine.supports(weights, device):
            raise EncodecError(f"the backend {backend} does not work here: not for this model")
        if precision == "tf32" or (precision == "bfloat16" and not library.has_bfloat16):
            raise _refusal(precision)
        return NativeEngine(weights, library, options)
    if precision != "float32":
        raise _refusal(precision)
    from .torch_engine import TorchEngine

    return TorchEngine(weights.network(), device, options)


def lm_build(options: EngineOptions = EngineOptions()) -> str | None:
    """The build of the native engine that computes the exact language model, as `options` choose
    the networks' backend; `torch`, or None for the best build there is."""
    kind, _, build = _wanted(options).partition("-")
    return "torch" if kind == "torch" else build or None


def _wanted(options: EngineOptions) -> str:
    return options.backend or os.environ.get("ENCODEC_BACKEND") or "auto"


def _elsewhere(weights: NetworkWeights, device: str, precision: Precision) -> Backend:
    """The native backend where it can do this, else torch."""
    library = find_library()
    able = library is not None and (precision == "float32" or library.has_bfloat16)
    return "native" if able and NativeEngine.supports(weights, device) else "torch"


def _cuda_engine(weights: NetworkWeights, device: str, options: EngineOptions) -> Engine:
    from .cuda import CudaEngine
    from .cuda.batching import choose_rows

    network = weights.network()
    if options.shared and options.max_batch is None:
        rows = choose_rows(lambda n: CudaEngine(network, device, replace(options, max_batch=n)))
        options = replace(options, max_batch=rows)
    return CudaEngine(network, device, options)


def _refusal(precision: Precision) -> EncodecError:
    needs = "it takes a GPU"
    if precision == "bfloat16":
        needs += ", or the native backend on a CPU with AVX512-BF16"
    return EncodecError(f"decoding in {precision} does not work here: {needs}")


def find_device(name: str) -> str:
    """`cpu` or `cuda:<index>` for `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:1`.

    Raises `ValueError` for another name, and `LookupError` for a CUDA device that is not here.
    """
    if name == "auto":
        return "cuda:0" if cuda_devices() else "cpu"
    match = _DEVICE.fullmatch(name)
    if match is None:
        raise ValueError(f"there is no device {name!r}; use cpu, auto, cuda or cuda:1")
    if name == "cpu":
        return name
    index = int(match[1] or 0)
    if index >= cuda_devices():
        raise LookupError(f"there is no device {name}: no such GPU or its driver is visible")
    return f"cuda:{index}"


def cuda_devices() -> int:
    """How many CUDA devices torch can use; without a CUDA driver, torch is not imported."""
    try:
        ctypes.CDLL("libcuda.so.1")  # the driver; torch looks for the same
    except OSError:
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
