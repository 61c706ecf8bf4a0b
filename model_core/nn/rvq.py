"""Residual vector quantisation.

K codebooks code a latent `[B, D, T]` in turn, each the residual of the ones before: codes are
`[K, B, T]`. Source: paper section 3.2; reference `quantization/`.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


def nearest(samples: Tensor, centres: Tensor) -> Tensor:
    """Index of the centre nearest to each row of `samples`: `[N, D], [C, D] -> [N]`.

    The first of several equal ones; the three terms are in the reference's order, so that ties
    give the same index.
    """
    transposed = centres.t()
    distance = -(
        samples.pow(2).sum(1, keepdim=True)
        - 2 * samples @ transposed
        + transposed.pow(2).sum(0, keepdim=True)
    )
    return distance.max(dim=-1).indices


def beam_search(samples: Tensor, codebooks: Sequence[Tensor], beam: int) -> Tensor:
    """Codes `[K, N]` of `samples` `[N, D]` by K codebooks `[C, D]`.

    After each codebook the `beam` best paths are kept, by the squared error of what they leave.
    """
    residual = samples[:, None]
    codes = samples.new_empty(0, len(samples), 1, dtype=torch.int64)
    for number, centres in enumerate(codebooks, start=1):
        kept = beam if number < len(codebooks) else 1
        residual, codes = extend_paths(residual, codes, centres, kept)
    return codes[..., 0]


def extend_paths(
    residual: Tensor, codes: Tensor, centres: Tensor, kept: int
) -> tuple[Tensor, Tensor]:
    """Extend P paths by an entry of `centres` `[C, D]` each, and keep the best of all P x C.

    `residual` `[N, P, D]` is what the paths leave, `codes` `[k, N, P]` how they came there; both
    are returned for the `kept` best (or for all, if there are fewer), best first.
    """
    parent, code = best_extensions(residual, centres, kept)
    origin = residual.gather(1, parent[..., None].expand(-1, -1, residual.shape[2]))
    before = codes.gather(2, parent.expand(len(codes), -1, -1))
    return origin - F.embedding(code, centres), torch.cat([before, code[None]])


def best_extensions(
    residual: Tensor, centres: Tensor, kept: int, prices: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The best of all P x C extensions of `extend_paths`, best first: which path and which entry of
    `centres`, `[N, kept]` each. `prices` `[N, P, C]` are added to the squared errors."""
    count, dimension = len(residual), residual.shape[2]
    rows = residual.reshape(-1, dimension)
    error = (
        rows.square().sum(1, keepdim=True) - 2 * rows @ centres.t() + centres.square().sum(1)
    ).view(count, -1)
    if prices is not None:
        error = error + prices.reshape(count, -1)
    best = error.topk(min(kept, error.shape[1]), dim=1, largest=False)
    return best.indices // len(centres), best.indices % len(centres)


class EuclideanCodebook(nn.Module):
    """`bins` vectors of size `dim`. All buffers but `embed` are for training."""

    inited: Tensor
    cluster_size: Tensor
    embed: Tensor
    embed_avg: Tensor

    def __init__(self, dim: int, bins: int):
        super().__init__()
        self.bins = bins
        self.register_buffer("inited", torch.zeros(1))
        self.register_buffer("cluster_size", torch.zeros(bins))
        self.register_buffer("embed", torch.zeros(bins, dim))
        self.register_buffer("embed_avg", torch.zeros(bins, dim))

    def encode(self, x: Tensor) -> Tensor:
        """`[..., D] -> [...]`: the index of the nearest entry."""
        return nearest(x.reshape(-1, x.shape[-1]), self.embed).view(x.shape[:-1])

    def decode(self, codes: Tensor) -> Tensor:
        """`[...] -> [..., D]`."""
        return F.embedding(codes, self.embed)


class VectorQuantization(nn.Module):
    """One codebook, over latents `[B, D, T]`."""

    def __init__(self, dim: int, bins: int):
        super().__init__()
        self._codebook = EuclideanCodebook(dim, bins)

    @property
    def codebook(self) -> EuclideanCodebook:
        return self._codebook

    def encode(self, x: Tensor) -> Tensor:
        """`[B, D, T] -> [B, T]`."""
        return self._codebook.encode(x.transpose(1, 2))

    def decode(self, codes: Tensor) -> Tensor:
        """`[B, T] -> [B, D, T]`."""
        return self._codebook.decode(codes).transpose(1, 2)


class ResidualVectorQuantizer(nn.Module):
    """The residual quantiser of a model: `n_q` codebooks of `bins` entries of `dimension`."""

    def __init__(self, dimension: int = 256, n_q: int = 8, bins: int = 1024):
        super().__init__()
        self.dimension = dimension
        self.n_q = n_q
        self.bins = bins
        layers = nn.ModuleList(VectorQuantization(dimension, bins) for _ in range(n_q))
        self.vq = nn.ModuleDict({"layers": layers})

    @property
    def codebooks(self) -> list[VectorQuantization]:
        layers = self.vq["layers"].children()
        return [layer for layer in layers if isinstance(layer, VectorQuantization)]

    def entries(self) -> np.ndarray:
        """A copy of all entries, float32 `[K, bins, D]`."""
        entries = torch.stack(self._entries(self.n_q)).float().cpu().numpy()
        return np.array(entries)

    def get_bandwidth_per_quantizer(self, frame_rate: int) -> float:
        """kbps of one codebook at `frame_rate` frames/s."""
        return math.log2(self.bins) * frame_rate / 1000

    def get_num_quantizers_for_bandwidth(
        self, frame_rate: int, bandwidth: float | None = None
    ) -> int:
        """The number of codebooks that fit into `bandwidth` kbps, at least 1; all for None or 0."""
        if not bandwidth or bandwidth <= 0:
            return self.n_q
        fitting = math.floor(bandwidth / self.get_bandwidth_per_quantizer(frame_rate))
        return min(max(1, fitting), self.n_q)

    def encode(self, x: Tensor, frame_rate: int, bandwidth: float | None = None) -> Tensor:
        """`[B, D, T] -> [K, B, T]` with as many codebooks as the bandwidth (kbps) allows."""
        return self.encode_with(x, self.get_num_quantizers_for_bandwidth(frame_rate, bandwidth))

    def encode_with(self, x: Tensor, num_codebooks: int, beam: int = 1) -> Tensor:
        """`[B, D, T] -> [num_codebooks, B, T]`, keeping the `beam` best paths after each codebook.

        With one path, the nearest entry of each codebook in turn, as in the reference.
        """
        if beam > 1:
            rows = x.transpose(1, 2).reshape(-1, self.dimension)
            codes = beam_search(rows, self._entries(num_codebooks), beam)
            return codes.view(num_codebooks, x.shape[0], x.shape[2])
        residual = x
        chosen = []
        for layer in self.codebooks[:num_codebooks]:
            index = layer.encode(residual)
            residual = residual - layer.decode(index)
            chosen.append(index)
        return torch.stack(chosen)

    def _entries(self, num_codebooks: int) -> list[Tensor]:
        """`[bins, D]` of each codebook."""
        return [layer.codebook.embed for layer in self.codebooks[:num_codebooks]]

    def decode(self, codes: Tensor) -> Tensor:
        """`[K, B, T] -> [B, D, T]`: the sum of the entries."""
        quantized = torch.tensor(0.0, device=codes.device)
        for layer, index in zip(self.codebooks, codes, strict=False):
            quantized = quantized + layer.decode(index)
        return quantized
