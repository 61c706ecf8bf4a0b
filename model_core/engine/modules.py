"""The torch modules that compute the layers of a plan, and how a GPU multiplies in them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn

from ..nn.seanet import SLSTM
from .plan import Convolution, Plan

Conv = nn.Conv1d | nn.ConvTranspose1d

Multiplication = Literal["ieee", "tf32"]

# torch's settings are the process's own: who needs them waits until nobody else does.
_settings = threading.RLock()


class Modules:
    """Those of `network` by the layers of `plan`, looked up once."""

    def __init__(self, network: nn.Module, plan: Plan):
        """Raises `AttributeError` for a network without a layer of the plan."""
        self._convolutions: dict[str, Conv] = {}
        self._norms: dict[str, nn.GroupNorm] = {}
        for layer in plan.convolutions:
            conv = network.get_submodule(layer.weights)
            norm = network.get_submodule(layer.norm)
            assert isinstance(conv, Conv)
            self._convolutions[layer.name] = conv
            if isinstance(norm, nn.GroupNorm):
                self._norms[layer.name] = norm
        self.lstm: SLSTM | None = None
        if plan.lstm is not None:
            lstm = network.get_submodule(plan.lstm.name)
            assert isinstance(lstm, SLSTM)
            self.lstm = lstm

    def convolution(self, layer: Convolution) -> Conv:
        """What multiplies, without padding."""
        return self._convolutions[layer.name]

    def norm(self, layer: Convolution) -> nn.GroupNorm | None:
        """The group norm behind it, in a network that has them."""
        return self._norms.get(layer.name)


@contextmanager
def arithmetic(device: torch.device, multiplication: Multiplication = "ieee") -> Iterator[None]:
    """On a CUDA device: convolutions and LSTMs multiply in float32, or in TF32 (inputs rounded to
    10 bits of mantissa, which torch does unless told otherwise); matrix products, and so the
    search of the codebooks, always in float32; and always by the same algorithm. One thread at a
    time."""
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
