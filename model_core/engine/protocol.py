"""What every backend offers."""

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
import torch

from ..config import ModelConfig
from ..model import EncodecModel
from .items import DecodeItem, EncodedBlock, EncodeItem

Precision = Literal["float32", "tf32", "bfloat16"]
"""Of decoding: float32, or what its convolutions and LSTM multiply in."""

EncodePrecision = Literal["float32", "tf32"]
"""Of encoding. In anything but float32 it chooses some codes that the reference would not."""


class Engine(Protocol):
    """Encodes and decodes batches of blocks, each of another stream.

    A block of the causal model is one second of a stream; of the other model, a segment, which
    needs nothing of its neighbours. A result depends on its own stream alone, and not on how that
    was cut or on what shared the batch.
    """

    config: ModelConfig
    model: EncodecModel  # for inference, on `device`
    device: torch.device
    name: str
    """Which backend, and which build of it."""
    precision: Precision
    encode_precision: EncodePrecision
    max_batch: int
    """The most items one call takes."""
    block_samples: int
    block_frames: int
    blocks_at_once: int
    """The most blocks of a causal stream that one item may hold."""

    def encode(self, items: Sequence[EncodeItem]) -> list[EncodedBlock]:
        """When it raises, the streams stand where they stood, so that each can be tried alone."""

    def decode(self, items: Sequence[DecodeItem]) -> list[np.ndarray]:
        """Samples float32 `[C, frames · hop]`. When it raises, as `encode`."""
