"""The residual quantiser of a model as an engine uses it: one search, one look-up."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ...nn.network import EncodecNetwork


class Codebooks:
    """All the codebooks of a model, `[K, bins, D]`, with what their search needs made once."""

    def __init__(self, model: EncodecNetwork):
        """The codebooks as they are now, on the model's device."""
        entries = torch.stack([book.codebook.embed for book in model.quantizer.codebooks])
        self._count, self._bins, _ = entries.shape
        self._entries = entries.flatten(0, 1).contiguous()
        self._transposed = (-2 * entries).transpose(1, 2).contiguous()  # [K, D, bins]
        self._norms = entries.square().sum(2)  # [K, bins]
        self._first = torch.arange(0, self._count * self._bins, self._bins, device=entries.device)

    def search(self, latent: Tensor, count: int) -> Tensor:
        """Codes `[B, count, T]` of `latent` `[B, D, T]`, each book coding what the last left.

        The entry with the least `|e|^2 - 2 x e`, the first of equals.
        """
        batch, dimension, frames = latent.shape
        residual = latent.transpose(1, 2).reshape(-1, dimension)
        codes = residual.new_empty(count, len(residual), dtype=torch.int64)
        for book in range(count):
            distance = torch.addmm(self._norms[book], residual, self._transposed[book])
            torch.argmin(distance, dim=1, out=codes[book])
            residual = residual - self._entries[codes[book] + book * self._bins]
        return codes.view(count, batch, frames).transpose(0, 1)

    def look_up(self, codes: Tensor, count: Tensor) -> Tensor:
        """`[B, D, T]`: the sum of the entries of `codes` `[B, K, T]` in the first `count` `[B]`
        books."""
        batch, _, frames = codes.shape
        used = torch.arange(self._count, device=codes.device) < count[:, None]  # [B, K]
        weights = used.to(self._entries.dtype)[:, None].expand(-1, frames, -1)
        numbers = codes.transpose(1, 2) + self._first
        summed = F.embedding_bag(
            numbers.reshape(-1, self._count),
            self._entries,
            mode="sum",
            per_sample_weights=weights.reshape(-1, self._count),
        )
        return summed.view(batch, frames, -1).transpose(1, 2)
