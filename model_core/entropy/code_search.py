"""Codes for latents that weigh their error against the bits that an exact language model takes.

A beam over residual quantisation, as of `engine.BEAMS`, but for what decides which paths are kept:
squared error + lambda * bits. Bits are those of the frequencies that the language model has for the
frame, after the codes that were chosen for the frames before it. With a depth head these depend on
the path.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from .exact import TOGETHER, ExactLM
from .fixed import MOST_FRAMES
from .native_lm import NativeLM
from .native_search import NativeSearch

RATES = {"encodec_24khz": 0.05, "encodec_48khz": 0.025}
"""Lambda is this by the root of the number of codebooks, times the squared error that the nearest
entries leave in the frame. Measured: `docs/exact-lm.md`."""


class _Search(Protocol):
    def find(
        self,
        latents: Sequence[np.ndarray],
        books: int,
        beam: int,
        rate: float,
        together: int,
        threads: int,
    ) -> list[np.ndarray]: ...


class CodeSearch:
    """Finds codes of the codebooks with these entries. Several threads at once may use it."""

    def __init__(self, lm: ExactLM, entries: np.ndarray):
        """`entries`: float32 `[K, bins, D]`. Raises `ValueError` where the model codes others."""
        config = lm.integers.config
        if entries.shape[:2] != (config.num_codebooks, config.bins):
            raise ValueError(f"the model has no codes of codebooks {list(entries.shape)}")
        self._most, _, self._dimension = entries.shape
        self._rate = RATES[config.name]
        self._search: _Search
        if isinstance(lm.coder, NativeLM):
            self._search = NativeSearch(lm.coder, entries)
        else:
            from .torch_search import TorchSearch  # imports torch

            self._search = TorchSearch(lm.integers, entries)

    def find(
        self,
        latents: Sequence[np.ndarray],
        books: int,
        beam: int,
        rate: float | None = None,
        threads: int = 1,
    ) -> list[np.ndarray]:
        """Codes int64 `[books, T]` of chunks of latents, float32 `[D, T]` each, T up to 1024.

        After each codebook `beam` paths are kept, two or more. `rate`: as in `RATES`, by default
        the model's; where it is 0, bits cost nothing and the codes are those of the search without
        them. Raises `ValueError` for other shapes.
        """
        rate = self._rate if rate is None else rate
        for latent in latents:
            if latent.ndim != 2 or len(latent) != self._dimension:
                raise ValueError(f"latents are [{self._dimension}, T], not {list(latent.shape)}")
            if not 1 <= latent.shape[1] <= MOST_FRAMES:
                raise ValueError(f"a chunk has 1 to {MOST_FRAMES} frames, not {latent.shape[1]}")
        if not 1 <= books <= self._most or beam < 2 or rate < 0:
            raise ValueError(f"there is no search with {books} codebooks, {beam} paths, {rate}")
        if not latents:
            return []
        together = min(TOGETHER, -(-len(latents) // max(1, threads)))
        return self._search.find(latents, books, beam, rate / books**0.5, together, threads)
