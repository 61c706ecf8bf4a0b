"""Chunks of codes to bytes and back with an exact language model, by the best means there is."""

from collections.abc import Sequence

import numpy as np

from ..config import LMConfig
from ..engine import StateDict
from ..engine.native.library import find_library
from ..errors import BitstreamError
from .fixed import MOST_FRAMES
from .integer_lm import IntegerLM
from .native_lm import NativeLM
from .quantize import quantize

TOGETHER = 8
"""Chunks that are decoded in step: a weight is read once for all of them."""


class ExactLM:
    """An exact language model. Its bytes are the same on every machine.

    It may be used by several threads at once.
    """

    def __init__(self, lm: IntegerLM, build: str | None = None):
        """`build`: of the native engine, or `torch`; by default the best that there is."""
        self.integers = lm
        library = None if build == "torch" else find_library(build)
        self.coder: _TorchChunks | NativeLM
        self.coder = _TorchChunks(lm) if library is None else NativeLM(library, lm)

    @classmethod
    def from_state(cls, state: StateDict, config: LMConfig, build: str | None = None) -> "ExactLM":
        """Of float32 tensors under reference names. Raises `WeightsError`: see `quantize`."""
        return cls(quantize(state, config), build)

    def encode(self, chunks: Sequence[np.ndarray], threads: int = 1) -> list[bytes]:
        """The bytes of chunks of codes, int64 `[K, T]` each with T up to 1024 and one K.

        Raises `ValueError` for other shapes and for what are no codes.
        """
        config = self.integers.config
        for codes in chunks:
            if codes.ndim != 2 or codes.dtype.kind not in "iu":
                raise ValueError(f"codes are integers [K, T], not {codes.dtype} {codes.shape}")
            self._check(codes.shape[1], codes.shape[0])
            if codes.size and not 0 <= codes.min() <= codes.max() < config.bins:
                raise ValueError(f"codes are not in 0..{config.bins - 1}")
        if len({len(codes) for codes in chunks}) > 1:
            raise ValueError("the chunks differ in their number of codebooks")
        return self.coder.encode(chunks, threads) if chunks else []

    def decode(
        self, chunks: Sequence[tuple[bytes, int]], books: int, threads: int = 1
    ) -> list[np.ndarray | None]:
        """The codes int64 `[books, T]` of chunks, given as bytes and number of frames; None where
        bytes are no codes. Raises `ValueError` for an impossible number of codebooks or frames."""
        for _, frames in chunks:
            self._check(frames, books)
        together = min(TOGETHER, -(-len(chunks) // max(1, threads)))
        return self.coder.decode(chunks, books, together, threads) if chunks else []

    def _check(self, frames: int, books: int) -> None:
        if not 1 <= frames <= MOST_FRAMES:
            raise ValueError(f"a chunk has 1 to {MOST_FRAMES} frames, not {frames}")
        if not 1 <= books <= self.integers.config.num_codebooks:
            raise ValueError(f"the model has {self.integers.config.num_codebooks} codebooks")


class _TorchChunks:
    """Does in torch what `NativeLM` does, one chunk after the other."""

    def __init__(self, lm: IntegerLM):
        from .torch_coder import TorchCoder  # imports torch

        self._coder = TorchCoder(lm)

    def encode(self, chunks: Sequence[np.ndarray], threads: int) -> list[bytes]:
        return [self._coder.encode(codes) for codes in chunks]

    def decode(
        self, chunks: Sequence[tuple[bytes, int]], books: int, together: int, threads: int
    ) -> list[np.ndarray | None]:
        return [self._decoded(data, books, frames) for data, frames in chunks]

    def _decoded(self, data: bytes, books: int, frames: int) -> np.ndarray | None:
        try:
            codes: np.ndarray = self._coder.decode([data], books, frames)[0]
        except BitstreamError:
            return None
        return codes
