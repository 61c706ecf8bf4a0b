"""Which devices there are, without importing torch on a machine that has no CUDA driver."""

import ctypes
import re

_NAME = re.compile(r"cpu|cuda(?::(\d{1,3}))?", re.ASCII)


def find_device(name: str) -> str:
    """`cpu` or `cuda:<index>` for `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:1`.

    Raises `ValueError` for another name, and `LookupError` for a CUDA device that is not here.
    """
    if name == "auto":
        return "cuda:0" if cuda_devices() else "cpu"
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"there is no device {name!r}; use cpu, auto, cuda or cuda:1")
    if name == "cpu":
        return name
    index = int(match[1] or 0)
    if index >= cuda_devices():
        raise LookupError(f"there is no device {name}: no such GPU or its driver is visible")
    return f"cuda:{index}"


def cuda_devices() -> int:
    """How many CUDA devices torch can use."""
    try:
        ctypes.CDLL("libcuda.so.1")  # the driver; torch looks for the same
    except OSError:
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
