"""A run that starts from finished weights."""

import torch

from ...errors import WeightsError
from ...nn.network import EncodecNetwork
from ..source import load_source
from .widen import doubled

BATCH_FRAMES = 64 * 75
"""Latents in a batch of the paper (section 4.2: 64 clips of a second)."""


def from_weights(model: EncodecNetwork, source: str) -> None:
    """Copy the weights of `source` (see `load_source`) into `model`, ready to be trained on.

    Those of a network of half the width, or a quarter, grow into it (see `widen`). Raises
    `WeightsError` where they belong to another network.
    """
    found = load_source(source, model.config.name).model
    while 2 * found.config.n_filters <= model.config.n_filters:
        found = doubled(found, torch.Generator().manual_seed(found.config.n_filters))
    if found.config != model.config:
        theirs, ours = found.config.to_dict(), model.config.to_dict()
        wrong = [
            f"{key} {theirs[key]}, not {ours[key]}" for key in ours if theirs[key] != ours[key]
        ]
        raise WeightsError(f"{source}: these weights are of another network: {'; '.join(wrong)}")
    model.load_state_dict(found.state_dict())
    fill_statistics(model)


@torch.no_grad()
def fill_statistics(model: EncodecNetwork) -> None:
    """Give codebooks without training statistics (files seldom carry them) such as keep them.

    Every entry counts as used alike, as often as in a batch of the paper and well above what is
    a dead code; its moving sum is what makes the entry itself. The next step of the average then
    moves an entry by about a hundredth of the way to its latents.
    """
    for layer in model.quantizer.codebooks:
        book = layer.codebook
        if book.cluster_size.any():
            continue
        share = max(BATCH_FRAMES / book.bins, 2 * book.threshold_ema_dead_code)
        book.cluster_size.fill_(share)
        book.embed_avg.copy_(book.embed * share)
        book.inited.fill_(1)
