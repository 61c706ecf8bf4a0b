"""How a GPU multiplies, and always by the same algorithm."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

Multiplication = Literal["ieee", "tf32"]

# The settings are the process's own: who needs them waits until nobody else does.
_settings = threading.RLock()


@contextmanager
def arithmetic(device: torch.device, multiplication: Multiplication = "ieee") -> Iterator[None]:
    """On a CUDA device: convolutions and LSTMs multiply in float32, or in TF32 (inputs rounded to
    10 bits of mantissa, which torch does unless told otherwise); matrix products, and so the
    search of the codebooks, always in float32. One thread at a time."""
    if device.type != "cuda":
        yield
        return
    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    with _settings:
        before = cudnn.deterministic, cudnn.benchmark
        precisions = cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision, matmul.fp32_precision
        try:
            cudnn.deterministic, cudnn.benchmark = True, False
            cudnn.conv.fp32_precision = cudnn.rnn.fp32_precision = multiplication
            matmul.fp32_precision = "ieee"
            yield
        finally:
            cudnn.deterministic, cudnn.benchmark = before
            cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = precisions[:2]
            matmul.fp32_precision = precisions[2]
