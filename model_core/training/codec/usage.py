"""How much of each codebook is used, from codes `[K, B, T]`.

Counts of several batches add up: `counts += code_counts(codes, bins)`.
"""

import torch
from torch import Tensor


def code_counts(codes: Tensor, bins: int) -> Tensor:
    """How often each entry occurs: `[K, ...] -> [K, bins]`, integers."""
    flat = codes.reshape(len(codes), -1)
    counts = torch.zeros(len(codes), bins, dtype=torch.long, device=codes.device)
    return counts.scatter_add_(1, flat, torch.ones_like(flat, dtype=torch.long))


def usage(counts: Tensor) -> Tensor:
    """Share of the entries that occur at all: `[K, bins] -> [K]`, from 0 to 1."""
    return (counts > 0).float().mean(dim=1)


def perplexity(counts: Tensor) -> Tensor:
    """How many equally frequent entries carry as much information: `[K, bins] -> [K]`.

    Two to the power of the entropy in bits: `bins` for even use, 1 for one entry alone.
    """
    shares = counts.double() / counts.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.special.entr(shares).sum(dim=1).exp().float()
