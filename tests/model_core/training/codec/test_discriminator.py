"""The discriminator has the reference's layers: with the same weights, the same verdict."""

import copy
import pickle
import warnings
from typing import Any

import pytest
import torch
from encodec.msstftd import MultiScaleSTFTDiscriminator as Reference

from model_core import MultiScaleSTFTDiscriminator

SHAPES: list[dict[str, Any]] = [
    {},  # the reference's default: three scales
    {"in_channels": 2, "out_channels": 2},
    {"dilations": [1, 3], "kernel_size": (5, 7), "stride": (1, 3), "normalized": False},
    {"n_ffts": [256], "hop_lengths": [64], "win_lengths": [200]},
    {"norm": "none", "activation": "ELU", "activation_params": {"alpha": 0.5}},
    {"norm": "spectral_norm"},
    {"norm": "time_group_norm"},
]


@pytest.mark.parametrize("shape", SHAPES)
def test_equal_to_the_reference(shape: dict[str, Any]) -> None:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        reference = Reference(filters=4, **shape)
    ours = MultiScaleSTFTDiscriminator(filters=4, **shape)
    ours.load_state_dict(reference.state_dict())
    assert list(ours.state_dict()) == list(reference.state_dict())
    reference.load_state_dict(ours.state_dict())
    x = torch.randn(2, shape.get("in_channels", 1), 6_000)
    logits, features = ours(x)
    expected_logits, expected_features = reference(x)
    assert ours.num_discriminators == reference.num_discriminators == len(logits)
    for a, b in zip(logits, expected_logits, strict=True):
        torch.testing.assert_close(a, b)
    for scale, expected in zip(features, expected_features, strict=True):
        for a, b in zip(scale, expected, strict=True):
            torch.testing.assert_close(a, b)


def test_norms_that_are_none() -> None:
    with pytest.raises(ValueError, match="no norm 'layer_norm'; there is none, weight_norm"):
        MultiScaleSTFTDiscriminator(filters=2, norm="layer_norm")


def test_it_can_be_pickled_and_copied() -> None:
    ours = MultiScaleSTFTDiscriminator(filters=2)
    x = torch.randn(1, 1, 4096)
    expected = ours(x)[0][0]
    for other in (pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours)):
        assert torch.equal(other(x)[0][0], expected)


def test_a_state_with_the_names_of_parametrizations() -> None:
    """As runs of older versions have saved it."""
    ours = MultiScaleSTFTDiscriminator(filters=2)
    names = {
        "weight_g": "parametrizations.weight.original0",
        "weight_v": "parametrizations.weight.original1",
    }
    old = {}
    for name, tensor in ours.state_dict().items():
        path, leaf = name.rsplit(".", 1)
        old[f"{path}.{names.get(leaf, leaf)}"] = tensor + 1
    assert set(old) != set(ours.state_dict())
    ours.load_state_dict(old)
    for tensor, expected in zip(ours.state_dict().values(), old.values(), strict=True):
        assert torch.equal(tensor, expected)


def test_the_default_is_three_scales_of_five_features() -> None:
    logits, features = MultiScaleSTFTDiscriminator(filters=2)(torch.randn(1, 1, 4096))
    # frames of 1024, 2048 and 512 samples; three halvings of the bins
    assert [tuple(x.shape) for x in logits] == [(1, 1, 13, 65), (1, 1, 5, 129), (1, 1, 29, 33)]
    assert [len(scale) for scale in features] == [5, 5, 5]


def test_scales_must_be_complete() -> None:
    with pytest.raises(ValueError, match="same length"):
        MultiScaleSTFTDiscriminator(filters=2, n_ffts=(512,))


def test_filters_may_grow_up_to_a_limit() -> None:
    """With the reference's own sums the second layer expects more filters than there are."""
    ours = MultiScaleSTFTDiscriminator(filters=2, filters_scale=2, max_filters=12)
    _, features = ours(torch.randn(1, 1, 4096))
    assert [layer.shape[1] for layer in features[0]] == [2, 4, 8, 12, 12]
