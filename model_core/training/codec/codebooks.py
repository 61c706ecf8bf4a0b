"""How the codebooks of a residual quantiser learn: k-means, moving averages, dead entries.

Source: paper section 3.2; reference `quantization/`. Unlike in the reference, a replaced dead code
stays replaced, and the straight-through step is taken once over the sum, so that every layer's
commitment loss has a gradient.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ... import distrib
from ...nn.rvq import EuclideanCodebook, ResidualVectorQuantizer, nearest

DECAY = 0.99
"""Of the moving averages, each step."""

KMEANS_ROUNDS = 50
KMEANS_SAMPLES = 16384

DEAD_BELOW = 2.0
"""The reference's threshold: an entry that codes fewer vectors a step than this is dead."""


@dataclass
class Quantized:
    """The result of a training pass of the quantiser."""

    latent: Tensor  # [B, D, T], with a straight-through gradient
    codes: Tensor  # [K, B, T]
    penalty: Tensor  # commitment loss, averaged over the codebooks


class CodebookLearning:
    """Passes latents through `quantizer`, and while that is in training mode, its codebooks learn.

    Entries that code fewer than `dead_below` vectors a step (moving average) are replaced. Make a
    new one where a state is loaded into a quantiser that has already learned.
    """

    def __init__(self, quantizer: ResidualVectorQuantizer, dead_below: float = DEAD_BELOW):
        self.quantizer = quantizer
        self.dead_below = dead_below
        self._started: set[EuclideanCodebook] = set()

    def __call__(self, x: Tensor, num_codebooks: int | None = None) -> Quantized:
        """A pass of `x` `[B, D, T]` through the first `num_codebooks`, or all.

        Computed and returned in float32 even under autocast: rounded distances would choose other
        entries. All processes must use the same number.
        """
        with torch.autocast(x.device.type, enabled=False):
            return self._run(x.float(), num_codebooks)

    def _run(self, x: Tensor, num_codebooks: int | None) -> Quantized:
        residual = x
        quantized = torch.zeros_like(x)
        codes, losses = [], []
        for layer in self.quantizer.codebooks[:num_codebooks]:
            book = layer.codebook
            flat = residual.detach().transpose(1, 2).reshape(-1, x.shape[1])
            if self.quantizer.training:
                self.start(book, flat)
            index = book.encode(flat)
            entry = book.decode(index).view(len(x), -1, x.shape[1]).transpose(1, 2)
            if self.quantizer.training:
                update(book, flat, index, self.dead_below)
            losses.append(F.mse_loss(residual, entry))
            residual = residual - entry
            quantized = quantized + entry
            codes.append(index.view(len(x), -1))
        straight_through = x + (quantized - x).detach()
        return Quantized(straight_through, torch.stack(codes), torch.stack(losses).mean())

    def start(self, book: EuclideanCodebook, samples: Tensor, rounds: int = KMEANS_ROUNDS) -> None:
        """Start a book that has no entries yet from `samples` `[N, D]`.

        Whether it has any is read from the device only until it has.
        """
        if book in self._started:
            return
        if not book.inited:
            start(book, samples, self.dead_below, rounds)
        self._started.add(book)


def forget(quantizer: ResidualVectorQuantizer) -> None:
    """Every codebook starts again from its next training samples."""
    for layer in quantizer.codebooks:
        layer.codebook.inited.zero_()


def dead_code_threshold(
    vectors: float, bins: int, share: float = 0.1, most: float = DEAD_BELOW
) -> float:
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


@torch.no_grad()
def start(
    book: EuclideanCodebook,
    samples: Tensor,
    dead_below: float = DEAD_BELOW,
    rounds: int = KMEANS_ROUNDS,
) -> None:
    """Fill `book` by k-means over `samples` `[N, D]` (a random part if there are many).

    All processes start from the entries of the first process.
    """
    some = sample_vectors(samples, min(len(samples), KMEANS_SAMPLES))
    centres, counts = kmeans(some, book.bins, rounds)
    size = counts.to(centres).clamp(min=dead_below)
    book.embed.copy_(centres)
    book.embed_avg.copy_(centres * size[:, None])
    book.cluster_size.copy_(size)
    book.inited.fill_(1)
    distrib.broadcast_tensors(book.buffers())


@torch.no_grad()
def update(
    book: EuclideanCodebook, samples: Tensor, codes: Tensor, dead_below: float = DEAD_BELOW
) -> None:
    """One step of the moving average over `samples` `[N, D]` coded as `codes` `[N]`.

    The processes sum their samples; dead entries move to samples of the first process.
    """
    ones = samples.new_ones(len(samples), 1)
    sums = samples.new_zeros(book.bins, samples.shape[1] + 1)
    sums.index_add_(0, codes, torch.cat([samples, ones], dim=1))
    distrib.all_reduce(sums)
    book.cluster_size.lerp_(sums[:, -1], 1 - DECAY)
    book.embed_avg.lerp_(sums[:, :-1], 1 - DECAY)
    dead = book.cluster_size < dead_below
    # Whether there are any is not read from the device: the host would have to wait for it.
    if samples.device.type != "cpu" or dead.any():
        replace(book, dead, samples, dead_below)
    book.embed.copy_(book.embed_avg / _smoothed_size(book)[:, None])


def replace(book: EuclideanCodebook, dead: Tensor, samples: Tensor, size: float) -> None:
    """Move the entries that are `dead` `[bins]` to samples, as if each coded `size` vectors."""
    fresh = sample_vectors(samples, book.bins)
    distrib.broadcast(fresh)
    book.cluster_size.masked_fill_(dead, size)
    book.embed_avg.copy_(torch.where(dead[:, None], fresh * size, book.embed_avg))


@torch.no_grad()
def rebuild_average(book: EuclideanCodebook) -> None:
    """Recompute the moving sums from the entries and their sizes."""
    book.embed_avg.copy_(book.embed * _smoothed_size(book)[:, None])


def _smoothed_size(book: EuclideanCodebook) -> Tensor:
    """The sizes `[bins]` that divide the sums: none is zero, the total is unchanged."""
    total = book.cluster_size.sum()
    epsilon = 1e-5
    return (book.cluster_size + epsilon) / (total + book.bins * epsilon) * total
