"""How much of each codebook is used, from codes `[K, B, T]`.

To add up several batches: `counts += code_counts(codes, bins)`.
"""

import torch
from torch import Tensor


def code_counts(codes: Tensor, bins: int) -> Tensor:
    """The count of each entry: `[K, ...] -> [K, bins]`, integers."""
    flat = codes.reshape(len(codes), -1)
    counts = torch.zeros(len(codes), bins, dtype=torch.long, device=codes.device)
    return counts.scatter_add_(1, flat, torch.ones_like(flat, dtype=torch.long))


def usage(counts: Tensor) -> Tensor:
    """The share of entries that occur: `[K, bins] -> [K]`, from 0 to 1."""
    return (counts > 0).float().mean(dim=1)


def perplexity(counts: Tensor) -> Tensor:
    """The number of equally frequent entries with the same information: `[K, bins] -> [K]`.

    2 to the power of the entropy in bits: `bins` for uniform use, 1 for a single entry.
    """
    shares = counts.double() / counts.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.special.entr(shares).sum(dim=1).exp().float()
