"""How much a model uses the entries of its codebooks."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from ..training.codec.usage import code_counts, perplexity, usage


@dataclass(frozen=True)
class Usage:
    """`counts`, integers `[K, bins]`: how often each entry was chosen, over `seconds` of audio."""

    counts: np.ndarray
    seconds: float

    @classmethod
    def of(cls, codes: np.ndarray, bins: int, seconds: float) -> Self:
        """The usage of codes `[K, T]`."""
        return cls(code_counts(torch.from_numpy(codes), bins).numpy(), seconds)

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.counts + other.counts, self.seconds + other.seconds)

    @property
    def unused_percent(self) -> list[float]:
        """The percentage of each codebook's entries that were never chosen."""
        shares: list[float] = (100 * (1 - usage(torch.from_numpy(self.counts)))).tolist()
        return shares

    @property
    def most_unused_percent(self) -> float:
        """The highest of `unused_percent`."""
        return max(self.unused_percent)

    @property
    def entropy_bits(self) -> list[float]:
        """The entropy of each codebook's choices in bits: the cost for a coder that knows only how
        frequent each entry is."""
        bits: list[float] = perplexity(torch.from_numpy(self.counts)).log2().tolist()
        return bits
