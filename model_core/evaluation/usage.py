"""Which entries of its codebooks a model uses."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from ..training.codec.usage import code_counts, perplexity, usage


@dataclass(frozen=True)
class Usage:
    """How often each entry was chosen: `counts`, integers `[K, bins]`, over `seconds` of audio."""

    counts: np.ndarray
    seconds: float

    @classmethod
    def of(cls, codes: np.ndarray, bins: int, seconds: float) -> Self:
        """Of codes `[K, T]`."""
        return cls(code_counts(torch.from_numpy(codes), bins).numpy(), seconds)

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.counts + other.counts, self.seconds + other.seconds)

    @property
    def unused_percent(self) -> list[float]:
        """Of each codebook's entries, how many percent were never chosen."""
        shares: list[float] = (100 * (1 - usage(torch.from_numpy(self.counts)))).tolist()
        return shares

    @property
    def most_unused_percent(self) -> float:
        """Of the codebook that is used least."""
        return max(self.unused_percent)

    @property
    def entropy_bits(self) -> list[float]:
        """The entropy of each codebook's choices, in bits: what a coder needs that knows how
        frequent each entry is and nothing else."""
        bits: list[float] = perplexity(torch.from_numpy(self.counts)).log2().tolist()
        return bits
