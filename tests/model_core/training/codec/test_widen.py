"""A wider network of the same function."""

import pytest
import torch

from model_core.config import CONFIGS
from model_core.nn.conv import joined_weight, set_weight
from model_core.training.codec.widen import doubled
from tests.model_core.training.codec.narrow import narrow
from tests.peers import signal


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_twice_the_width_computes_the_same(name: str) -> None:
    small = narrow(CONFIGS[name], 4).double()
    big = doubled(small, torch.Generator().manual_seed(2)).double()
    assert big.config.n_filters == 8
    assert not big.training
    x = signal(small.config.channels, 12_000, small.sample_rate).double()[None]
    torch.testing.assert_close(big.encoder(x), small.encoder(x), rtol=1e-4, atol=1e-6)
    z = small.encoder(x)
    torch.testing.assert_close(big.decoder(z), small.decoder(z), rtol=1e-4, atol=1e-6)
    for a, b in zip(big.quantizer.buffers(), small.quantizer.buffers(), strict=True):
        assert torch.equal(a.double(), b.double())


def test_the_copies_part_in_training() -> None:
    big = doubled(narrow(CONFIGS["encodec_24khz"], 4), torch.Generator().manual_seed(2)).train()
    x = signal(1, 6000, 24_000)[None]
    big.decoder(big.encoder(x)).square().mean().backward()
    layer = big.encoder.model[0].conv.conv  # type: ignore[union-attr]
    gradient = layer.weight_v.grad  # type: ignore[union-attr]
    first, second = gradient.chunk(2)  # type: ignore[union-attr, operator]
    assert (first - second).abs().max() > 0.01 * first.abs().max()


@torch.no_grad()
def test_zeros_around_a_transform_stay() -> None:
    small = narrow(CONFIGS["encodec_24khz"], 4)
    layer = small.encoder.model[-1].conv.conv  # type: ignore[union-attr]
    weight = joined_weight(layer)  # type: ignore[arg-type]
    weight[:5] = 0
    weight[5:, :3] = 0
    set_weight(layer, weight)  # type: ignore[arg-type]
    big = doubled(small, torch.Generator().manual_seed(2))
    wide = joined_weight(big.encoder.model[-1].conv.conv)  # type: ignore[union-attr, arg-type]
    assert wide.shape[1] == 2 * weight.shape[1]
    assert torch.equal(wide == 0, torch.cat([weight == 0, weight == 0], dim=1))
