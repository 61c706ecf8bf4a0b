"""The layers listed from a configuration are those that the network has, in its order."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from model_core.config import CONFIGS, ModelConfig
from model_core.engine.modules import Modules
from model_core.engine.plan import (
    Layer,
    Plan,
    Residual,
    decoder_plan,
    encoder_plan,
    parameter_count,
    state_shapes,
)
from model_core.nn.conv import SConv1d, SConvTranspose1d, fold_weight_norm
from model_core.nn.network import EncodecNetwork
from model_core.nn.seanet import SLSTM
from tests.model_core.engine.narrow import narrow_model
from tests.peers import NAMES

SHAPES: list[dict[str, object]] = [
    {},
    {"lstm": 0},
    {"lstm": 1, "n_residual_layers": 3},
    {"n_residual_layers": 0, "ratios": (5, 2)},
]


def _run(network: nn.Module, layers: Iterable[Layer], x: torch.Tensor) -> torch.Tensor:
    for layer in layers:
        if isinstance(layer, Residual):
            x = _run(network, [layer.shortcut], x) + _run(network, layer.block, x)
        else:
            x = network.get_submodule(layer.name)(F.elu(x) if layer.elu else x)
    return x


def _both(model: EncodecNetwork) -> list[tuple[Plan, nn.Module, torch.Tensor]]:
    config = model.config
    return [
        (encoder_plan(config), model.encoder, torch.randn(2, config.channels, 6400)),
        (decoder_plan(config), model.decoder, torch.randn(2, config.dimension, 20)),
    ]


@torch.inference_mode()
@pytest.mark.parametrize("name", NAMES)
def test_the_plan_computes_what_the_network_does(name: str) -> None:
    model = narrow_model(name)
    for plan, network, x in _both(model):
        y = _run(model, plan.before, x)
        assert plan.lstm is not None
        y = model.get_submodule(plan.lstm.name)(y)
        assert torch.equal(_run(model, plan.after, y), network(x))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NAMES)
def test_every_layer_has_the_sizes_of_its_module(name: str, shape: dict[str, object]) -> None:
    config: ModelConfig = replace(CONFIGS[name], n_filters=4, dimension=16, **shape)  # type: ignore[arg-type]
    model = EncodecNetwork(config)
    for plan, network, _ in _both(model):
        modules = Modules(model, plan)
        seen = set()
        for layer in plan.convolutions:
            outer, inner = model.get_submodule(layer.name), modules.convolution(layer)
            assert isinstance(outer, SConvTranspose1d if layer.transposed else SConv1d)
            assert (layer.stride, layer.padding) == (outer.stride, outer.padding_total)
            assert (layer.in_channels, layer.out_channels) == (
                inner.in_channels,
                inner.out_channels,
            )
            assert inner.kernel_size == (layer.kernel,)
            assert inner.dilation == (layer.dilation,)
            assert isinstance(outer, SConvTranspose1d) or outer.window == layer.window
            assert (modules.norm(layer) is None) == (config.norm == "weight_norm")
            seen.add(outer)
        assert seen == {m for m in network.modules() if isinstance(m, SConv1d | SConvTranspose1d)}
        lstms = [m for m in network.modules() if isinstance(m, SLSTM)]
        assert lstms == ([] if modules.lstm is None else [modules.lstm])
        if plan.lstm is None or modules.lstm is None:
            assert plan.lstm is None
            assert plan.after == ()
        else:
            lstm = modules.lstm.lstm
            assert (plan.lstm.size, plan.lstm.num_layers) == (lstm.hidden_size, lstm.num_layers)


def test_a_network_of_another_shape_is_refused() -> None:
    model = narrow_model("encodec_24khz")
    with pytest.raises(AttributeError):
        Modules(model, encoder_plan(replace(model.config, n_residual_layers=2)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("changes", SHAPES)
def test_shapes_and_parameters_are_those_of_the_modules(name: str, changes: dict[str, Any]) -> None:
    config = replace(CONFIGS[name], n_filters=4, dimension=16, **changes)
    network = EncodecNetwork(config)
    expected = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    assert state_shapes(config) == expected
    fold_weight_norm(network)
    assert parameter_count(config) == sum(p.numel() for p in network.parameters())
