"""Residual vector quantisation.

K codebooks code a latent `[B, D, T]` in turn, each the residual of the ones before: codes are
`[K, B, T]`. Source: paper section 3.2; reference `quantization/`. Unlike in the reference, a
replaced dead code stays replaced, and the straight-through step is taken once over the sum, so
that every layer's commitment loss has a gradient.
"""

import math
from dataclasses import dataclass, field
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import distrib


@dataclass
class QuantizedResult:
    """The result of a training pass of the quantiser."""

    quantized: Tensor  # [B, D, T], with a straight-through gradient
    codes: Tensor  # [K, B, T]
    bandwidth: Tensor  # kbps
    penalty: Tensor  # commitment loss, averaged over the codebooks
    metrics: dict[str, Any] = field(default_factory=dict)  # always empty, as in the reference


class CodebookLearning(TypedDict, total=False):
    """How a codebook learns (see `EuclideanCodebook`); the defaults are the reference's."""

    decay: float
    kmeans_init: bool
    kmeans_iters: int
    threshold_ema_dead_code: float


def dead_code_threshold(vectors: float, bins: int, share: float = 0.1, most: float = 2.0) -> float:
    """An entry that codes fewer vectors per step (moving average) than this counts as dead.

    `vectors` is the number of vectors in a step over all processes: batch x frames. The
    reference's threshold `most` is for its large batches; in small ones it would replace entries
    with their fair share of `vectors / bins`, so the threshold is at most `share` of that.
    """
    return min(most, share * vectors / bins)


def sample_vectors(samples: Tensor, count: int) -> Tensor:
    """`count` rows of `samples` `[N, D]`, without repetition if there are enough.

    Drawn by torch's generator of the device: the same seed draws the same rows.
    """
    if len(samples) >= count:
        return samples[torch.randperm(len(samples), device=samples.device)[:count]]
    return samples[torch.randint(0, len(samples), (count,), device=samples.device)]


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


def kmeans(samples: Tensor, clusters: int, rounds: int) -> tuple[Tensor, Tensor]:
    """Lloyd's algorithm: centres `[clusters, D]` and the number of samples of each."""
    centres = sample_vectors(samples, clusters)
    counts = torch.zeros(clusters, dtype=torch.long, device=samples.device)
    for _ in range(rounds):
        index = nearest(samples, centres)
        counts = torch.bincount(index, minlength=clusters)
        sums = torch.zeros_like(centres).index_add_(0, index, samples)
        centres = torch.where(
            (counts > 0)[:, None], sums / counts.clamp(min=1)[:, None].to(sums), centres
        )
    return centres, counts


class EuclideanCodebook(nn.Module):
    """`bins` vectors of size `dim`, learned by k-means and a moving average.

    Without `kmeans_init` they start at random. `decay` is the decay of the average; entries used
    fewer than `threshold_ema_dead_code` times per step are replaced.
    """

    inited: Tensor
    cluster_size: Tensor
    embed: Tensor
    embed_avg: Tensor

    def __init__(
        self,
        dim: int,
        bins: int,
        decay: float = 0.99,
        kmeans_init: bool = True,
        kmeans_iters: int = 50,
        threshold_ema_dead_code: float = 2,
        kmeans_samples: int = 16384,
    ):
        super().__init__()
        self.bins = bins
        self.decay = decay
        self.kmeans_iters = kmeans_iters
        self.kmeans_samples = kmeans_samples
        self.threshold_ema_dead_code = threshold_ema_dead_code
        embed = torch.zeros(bins, dim)
        if not kmeans_init:
            nn.init.kaiming_uniform_(embed)
        self.register_buffer("inited", torch.tensor([float(not kmeans_init)]))
        self.register_buffer("cluster_size", torch.zeros(bins))
        self.register_buffer("embed", embed)
        self.register_buffer("embed_avg", embed.clone())
        self._started = False  # True once `inited` has been read as set

    def encode(self, x: Tensor) -> Tensor:
        """`[..., D] -> [...]`: the index of the nearest entry."""
        return nearest(x.reshape(-1, x.shape[-1]), self.embed).view(x.shape[:-1])

    def decode(self, codes: Tensor) -> Tensor:
        """`[...] -> [..., D]`."""
        return F.embedding(codes, self.embed)

    @torch.no_grad()
    def init_(self, samples: Tensor) -> None:
        """Start from k-means over `samples` `[N, D]` (a random part if there are many).

        All processes start from the entries of the first process.
        """
        if self._has_started():
            return
        centres, counts = kmeans(
            sample_vectors(samples, min(len(samples), self.kmeans_samples)),
            self.bins,
            self.kmeans_iters,
        )
        size = counts.to(centres).clamp(min=self.threshold_ema_dead_code)
        self.embed.copy_(centres)
        self.embed_avg.copy_(centres * size[:, None])
        self.cluster_size.copy_(size)
        self.inited.fill_(1)
        self._started = True
        distrib.broadcast_tensors(self.buffers())

    def forget(self) -> None:
        """Start again from the next training samples."""
        self.inited.zero_()
        self._started = False

    def _has_started(self) -> bool:
        """Whether there are entries; once there are, the device is not read again."""
        if not self._started:
            self._started = bool(self.inited)
        return self._started

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._started = False

    @torch.no_grad()
    def update_(self, samples: Tensor, codes: Tensor) -> None:
        """One step of the moving average over `samples` `[N, D]` coded as `codes` `[N]`.

        The processes sum their samples; dead entries move to samples of the first process.
        """
        ones = samples.new_ones(len(samples), 1)
        sums = samples.new_zeros(self.bins, samples.shape[1] + 1)
        sums.index_add_(0, codes, torch.cat([samples, ones], dim=1))
        distrib.all_reduce(sums)
        self.cluster_size.lerp_(sums[:, -1], 1 - self.decay)
        self.embed_avg.lerp_(sums[:, :-1], 1 - self.decay)
        dead = self.cluster_size < self.threshold_ema_dead_code
        # Whether there are any is not read from the device: the host would have to wait for it.
        if samples.device.type != "cpu" or dead.any():
            self._replace(dead, samples)
        self.embed.copy_(self.embed_avg / self._smoothed_size()[:, None])

    def _replace(self, dead: Tensor, samples: Tensor) -> None:
        """Move the entries that are `dead` `[bins]` to samples, with sizes at the threshold."""
        size = self.threshold_ema_dead_code
        fresh = sample_vectors(samples, self.bins)
        distrib.broadcast(fresh)
        self.cluster_size.masked_fill_(dead, size)
        self.embed_avg.copy_(torch.where(dead[:, None], fresh * size, self.embed_avg))

    def _smoothed_size(self) -> Tensor:
        """The sizes `[bins]` that divide the sums: none is zero, the total is unchanged."""
        total = self.cluster_size.sum()
        epsilon = 1e-5
        return (self.cluster_size + epsilon) / (total + self.bins * epsilon) * total

    @torch.no_grad()
    def rebuild_average(self) -> None:
        """Recompute the moving sums from the entries and their sizes."""
        self.embed_avg.copy_(self.embed * self._smoothed_size()[:, None])


class VectorQuantization(nn.Module):
    """One codebook, over latents `[B, D, T]`."""

    def __init__(self, dim: int, bins: int, **learning: Unpack[CodebookLearning]):
        super().__init__()
        self._codebook = EuclideanCodebook(dim, bins, **learning)

    @property
    def codebook(self) -> EuclideanCodebook:
        return self._codebook

    def encode(self, x: Tensor) -> Tensor:
        """`[B, D, T] -> [B, T]`."""
        return self._codebook.encode(x.transpose(1, 2))

    def decode(self, codes: Tensor) -> Tensor:
        """`[B, T] -> [B, D, T]`."""
        return self._codebook.decode(codes).transpose(1, 2)


class ResidualVectorQuantization(nn.Module):
    """The chain of codebooks."""

    def __init__(
        self, dim: int, bins: int, num_quantizers: int, **learning: Unpack[CodebookLearning]
    ):
        super().__init__()
        self.layers = nn.ModuleList(
            VectorQuantization(dim, bins, **learning) for _ in range(num_quantizers)
        )


class ResidualVectorQuantizer(nn.Module):
    """The residual quantiser of a model: `n_q` codebooks of `bins` entries of `dimension`.

    The other keywords are those of `CodebookLearning`.
    """

    def __init__(
        self,
        dimension: int = 256,
        n_q: int = 8,
        bins: int = 1024,
        **learning: Unpack[CodebookLearning],
    ):
        super().__init__()
        self.dimension = dimension
        self.n_q = n_q
        self.bins = bins
        self.vq = ResidualVectorQuantization(dimension, bins, n_q, **learning)

    @property
    def codebooks(self) -> list[VectorQuantization]:
        return [layer for layer in self.vq.layers if isinstance(layer, VectorQuantization)]

    def forget(self) -> None:
        """Every codebook starts again from its next training samples."""
        for layer in self.codebooks:
            layer.codebook.forget()

    def set_dead_code_threshold(self, threshold: float) -> None:
        """Replace entries used less than `threshold` times a step (see `dead_code_threshold`)."""
        for layer in self.codebooks:
            layer.codebook.threshold_ema_dead_code = threshold

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

    def forward(
        self, x: Tensor, frame_rate: int, bandwidth: float | None = None
    ) -> QuantizedResult:
        """A training pass: `[B, D, T]` in, quantised out, codebooks updated in training mode.

        Computed and returned in float32 even under autocast: rounded distances would choose other
        entries. All processes must use the same bandwidth.
        """
        num_codebooks = self.get_num_quantizers_for_bandwidth(frame_rate, bandwidth)
        with torch.autocast(x.device.type, enabled=False):
            quantized, codes, penalty = self._train(x.float(), num_codebooks)
        kbps = num_codebooks * self.get_bandwidth_per_quantizer(frame_rate)
        return QuantizedResult(quantized, codes, quantized.new_full((), kbps), penalty)

    def _train(self, x: Tensor, num_codebooks: int) -> tuple[Tensor, Tensor, Tensor]:
        """`[B, D, T]` to the quantised latent, its codes `[K, B, T]` and the commitment loss."""
        residual = x
        quantized = torch.zeros_like(x)
        codes, losses = [], []
        for layer in self.codebooks[:num_codebooks]:
            flat = residual.detach().transpose(1, 2).reshape(-1, self.dimension)
            if self.training:
                layer.codebook.init_(flat)
            index = layer.codebook.encode(flat)
            entry = layer.codebook.decode(index).view(len(x), -1, self.dimension).transpose(1, 2)
            if self.training:
                layer.codebook.update_(flat, index)
            losses.append(F.mse_loss(residual, entry))
            residual = residual - entry
            quantized = quantized + entry
            codes.append(index.view(len(x), -1))
        straight_through = x + (quantized - x).detach()
        return straight_through, torch.stack(codes), torch.stack(losses).mean()
