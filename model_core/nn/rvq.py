"""Residual vector quantisation.

K codebooks code a latent `[B, D, T]` in turn, each the residual of the ones before: codes are
`[K, B, T]`. Source: paper section 3.2; reference `quantization/`.
"""

import math

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

    def encode_with(self, x: Tensor, num_codebooks: int) -> Tensor:
        """`[B, D, T] -> [num_codebooks, B, T]`."""
        residual = x
        codes = []
        for layer in self.codebooks[:num_codebooks]:
            index = layer.encode(residual)
            residual = residual - layer.decode(index)
            codes.append(index)
        return torch.stack(codes)

    def decode(self, codes: Tensor) -> Tensor:
        """`[K, B, T] -> [B, D, T]`: the sum of the entries."""
        quantized = torch.tensor(0.0, device=codes.device)
        for layer, index in zip(self.codebooks, codes, strict=False):
            quantized = quantized + layer.decode(index)
        return quantized
