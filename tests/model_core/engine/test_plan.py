"""The layers an engine runs are those that the network has, in its order."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from model_core.engine.plan import Layer, Residual, convolutions, plan_of
from model_core.nn.conv import SConv1d, SConvTranspose1d
from tests.model_core.engine.narrow import narrow_model
from tests.peers import NAMES


def _run(layers: tuple[Layer, ...], x: torch.Tensor) -> torch.Tensor:
    for layer in layers:
        if isinstance(layer, Residual):
            x = _run((layer.shortcut,), x) + _run(layer.block, x)
        else:
            x = layer.module(F.elu(x) if layer.elu else x)
    return x


@torch.inference_mode()
@pytest.mark.parametrize("name", NAMES)
def test_the_plan_computes_what_the_network_does(name: str) -> None:
    model = narrow_model(name)
    config = model.config
    for network, x in (
        (model.encoder, torch.randn(2, config.channels, 6400)),
        (model.decoder, torch.randn(2, config.dimension, 20)),
    ):
        plan = plan_of(network.model)
        assert plan.lstm is not None
        given = _run(plan.after, plan.lstm(_run(plan.before, x)))
        assert torch.equal(given, network(x))
        found = [layer.module for layer in convolutions((*plan.before, *plan.after))]
        here = [m for m in network.modules() if isinstance(m, SConv1d | SConvTranspose1d)]
        assert len(found) == len(here)
        assert set(map(id, found)) == set(map(id, here))


def test_a_network_without_an_lstm_has_all_its_layers_before_it() -> None:
    conv = SConv1d(1, 1, 3, causal=True, norm="weight_norm")
    plan = plan_of(nn.Sequential(nn.ELU(), conv))
    assert [layer.module for layer in convolutions(plan.before)] == [conv]
    assert plan.lstm is None
    assert plan.after == ()


def test_what_no_network_has_is_refused() -> None:
    with pytest.raises(TypeError, match="Tanh"):
        plan_of(nn.Sequential(nn.Tanh(), *narrow_model("encodec_24khz").encoder.model))
