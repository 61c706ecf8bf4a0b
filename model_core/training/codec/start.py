"""What a run starts from."""

import torch

from ...config import ModelConfig
from ...errors import WeightsError
from ...nn.network import EncodecNetwork
from ..data.cache import AudioCache
from ..source import load_source
from .codebooks import DEAD_BELOW
from .initial import start_loud
from .transform import FREE, KEPT, TRANSFORM, graft_transform, lines_of, start_as_transform
from .widen import doubled

BATCH_FRAMES = 64 * 75
"""Latents in a batch of the paper (section 4.2: 64 clips of 1 s)."""


def start(
    model: EncodecNetwork, source: str | None, cache: AudioCache, graft: bool = False
) -> bool:
    """Give `model` the weights that a run on `cache` starts from; whether its codebooks are ready.

    `source` is None for random weights, `transform` (see there) or finished weights, and with
    `graft` the transform joins these. Raises what `start_as_transform`, `from_weights` and
    `graft_transform` raise.
    """
    if source is None:
        start_loud(model)
    elif source == TRANSFORM:
        start_as_transform(model, cache)
    else:
        from_weights(model, source)
    if graft:
        graft_transform(model, cache)
    return source not in (None, TRANSFORM) and not graft


def require_fitting(source: str, config: ModelConfig, graft: bool = False) -> None:
    """Raises `WeightsError` if `start` cannot make a network `config` of the weights `source`.

    Call it before recordings are decoded. Raises what `lines_of` and `load_source` raise, too.
    """
    if source == TRANSFORM or graft:
        lines_of(config, KEPT if graft else FREE)
    if source == TRANSFORM:
        return
    found = load_source(source, config.name).model.config
    width, wanted = found.n_filters, config.n_filters
    grown = wanted // width if wanted % width == 0 else 0
    if grown & (grown - 1) or not grown:
        raise WeightsError(
            f"{source}: these weights have n_filters {width}; a run that starts from them has "
            f"{width} or that doubled, {2 * width}, {4 * width} and so on, not {wanted}"
        )
    _require_equal(source, found.with_filters(wanted), config)


def from_weights(model: EncodecNetwork, source: str) -> None:
    """Copy the weights of `source` (see `load_source`) into `model`, ready for training.

    Weights of a network of half or a quarter of the width are widened (see `widen`). Raises
    `WeightsError` if they belong to another network.
    """
    found = load_source(source, model.config.name).model
    while 2 * found.config.n_filters <= model.config.n_filters:
        found = doubled(found, torch.Generator().manual_seed(found.config.n_filters))
    _require_equal(source, found.config, model.config)
    model.load_state_dict(found.state_dict())
    fill_statistics(model)


def _require_equal(source: str, found: ModelConfig, wanted: ModelConfig) -> None:
    if found == wanted:
        return
    theirs, ours = found.to_dict(), wanted.to_dict()
    wrong = [f"{key} {theirs[key]}, not {ours[key]}" for key in ours if theirs[key] != ours[key]]
    raise WeightsError(f"{source}: these weights are of another network: {'; '.join(wrong)}")


@torch.no_grad()
def fill_statistics(model: EncodecNetwork) -> None:
    """Give codebooks without training statistics (most files have none) neutral ones.

    Every entry counts as equally used, as often as in a batch of the paper and far more than a
    dead code; its moving sum gives the entry itself. The next step of the average then moves an
    entry by about a hundredth of the way to its latents.
    """
    for layer in model.quantizer.codebooks:
        book = layer.codebook
        if book.cluster_size.any():
            continue
        share = max(BATCH_FRAMES / book.bins, 2 * DEAD_BELOW)
        book.cluster_size.fill_(share)
        book.embed_avg.copy_(book.embed * share)
        book.inited.fill_(1)
