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
"""Of the moving averages, each step, where a step has as many vectors as the paper's."""

SHARE = 50
"""Vectors that an entry is the mean of at least: small steps average over more of them."""

KMEANS_ROUNDS = 50
FIT_ROUNDS = 10
"""Enough where there are many samples."""

_PART = 16384  # vectors whose distances to all entries are in memory at once

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
        self.decay = DECAY
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
                update(book, flat, index, self.dead_below, self.decay)
            losses.append(F.mse_loss(residual, entry))
            residual = residual - entry
            quantized = quantized + entry
            codes.append(index.view(len(x), -1))
        straight_through = x + (quantized - x).detach()
        return Quantized(straight_through, torch.stack(codes), torch.stack(losses).mean())

    def expect(self, vectors: float) -> None:
        """Choose threshold and decay for steps of so many vectors, over all processes."""
        self.dead_below = dead_code_threshold(vectors, self.quantizer.bins)
        self.decay = average_decay(vectors, self.quantizer.bins)

    def fit(self, latents: Tensor, vectors: float) -> None:
        """Start all books, each from what those before it leave of `latents` `[N, D]`.

        `vectors` are those of a step, over all processes.
        """
        weights = loudness_weights(latents) * (vectors / len(latents))
        for layer in self.quantizer.codebooks:
            book = layer.codebook
            self.start(book, latents, FIT_ROUNDS, weights)
            latents = latents - book.decode(_nearest_in_parts(latents, book.embed))

    def start(
        self,
        book: EuclideanCodebook,
        samples: Tensor,
        rounds: int = KMEANS_ROUNDS,
        weights: Tensor | None = None,
    ) -> None:
        """Start a book that has no entries yet from `samples` `[N, D]` with `weights` `[N]`.

        Whether it has any is read from the device only until it has.
        """
        if book in self._started:
            return
        if not book.inited:
            start(book, samples, self.dead_below, rounds, weights)
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


def average_decay(vectors: float, bins: int) -> float:
    """The decay with which an entry is the mean of `SHARE` vectors or more.

    `vectors` is the number of vectors in a step over all processes.
    """
    return max(DECAY, 1 - vectors / (SHARE * bins))


def loudness_weights(latents: Tensor) -> Tensor:
    """How much each of `latents` `[N, D]` counts when codebooks are fitted, 1 on average: less the
    louder it is, or quiet recordings would have no entries of their own."""
    power = latents.square().sum(dim=1)
    weights = (power + 0.01 * power.mean()).rsqrt()
    return weights / weights.mean()


def sample_vectors(samples: Tensor, count: int) -> Tensor:
    """`count` rows of `samples` `[N, D]`, without repetition if there are enough.

    Drawn by torch's generator of the device: the same seed draws the same rows.
    """
    if len(samples) >= count:
        return samples[torch.randperm(len(samples), device=samples.device)[:count]]
    return samples[torch.randint(0, len(samples), (count,), device=samples.device)]


def _nearest_in_parts(samples: Tensor, centres: Tensor) -> Tensor:
    return torch.cat([nearest(part, centres) for part in samples.split(_PART)])


def kmeans(
    samples: Tensor, clusters: int, rounds: int, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Lloyd's algorithm: centres `[clusters, D]` and the weight of each one's samples `[clusters]`.

    Each of `samples` `[N, D]` has a weight `[N]`, by default 1.
    """
    if weights is None:
        weights = samples.new_ones(len(samples))
    centres = sample_vectors(samples, clusters)
    sizes = weights.new_zeros(clusters)
    weighted = samples * weights[:, None]
    for _ in range(rounds):
        index = _nearest_in_parts(samples, centres)
        sizes = torch.zeros_like(sizes).index_add_(0, index, weights)
        sums = torch.zeros_like(centres).index_add_(0, index, weighted)
        filled = (sizes > 0)[:, None]
        centres = torch.where(filled, sums / sizes.clamp(min=1e-12)[:, None], centres)
    return centres, sizes


@torch.no_grad()
def start(
    book: EuclideanCodebook,
    samples: Tensor,
    dead_below: float = DEAD_BELOW,
    rounds: int = KMEANS_ROUNDS,
    weights: Tensor | None = None,
) -> None:
    """Fill `book` by k-means over `samples` `[N, D]` with `weights` `[N]`, by default 1.

    They should sum to the vectors of a step: then the averages of the next steps take over.
    All processes start from the entries of the first process.
    """
    centres, sizes = kmeans(samples, book.bins, rounds, weights)
    size = sizes.clamp(min=dead_below)
    book.embed.copy_(centres)
    book.embed_avg.copy_(centres * size[:, None])
    book.cluster_size.copy_(size)
    book.inited.fill_(1)
    distrib.broadcast_tensors(book.buffers())


@torch.no_grad()
def update(
    book: EuclideanCodebook,
    samples: Tensor,
    codes: Tensor,
    dead_below: float = DEAD_BELOW,
    decay: float = DECAY,
) -> None:
    """One step of the moving average over `samples` `[N, D]` coded as `codes` `[N]`.

    The processes sum their samples; dead entries move to samples of the first process.
    """
    ones = samples.new_ones(len(samples), 1)
    sums = samples.new_zeros(book.bins, samples.shape[1] + 1)
    sums.index_add_(0, codes, torch.cat([samples, ones], dim=1))
    distrib.all_reduce(sums)
    book.cluster_size.lerp_(sums[:, -1], 1 - decay)
    book.embed_avg.lerp_(sums[:, :-1], 1 - decay)
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
