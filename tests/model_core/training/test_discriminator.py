"""The discriminator has the reference's layers: with the same weights, the same verdict."""

import warnings

import torch
from encodec.msstftd import MultiScaleSTFTDiscriminator as Reference

from model_core import MultiScaleSTFTDiscriminator


def test_equal_to_the_reference() -> None:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        reference = Reference(filters=8)
    ours = MultiScaleSTFTDiscriminator(filters=8)
    ours.load_state_dict(reference.state_dict())  # torch maps weight_g and weight_v
    x = torch.randn(2, 1, 24_000)
    logits, features = ours(x)
    expected_logits, expected_features = reference(x)
    assert ours.num_discriminators == reference.num_discriminators == len(logits) == 3
    for a, b in zip(logits, expected_logits, strict=True):
        torch.testing.assert_close(a, b)
    for scale, expected in zip(features, expected_features, strict=True):
        assert len(scale) == len(expected) == 5
        for a, b in zip(scale, expected, strict=True):
            torch.testing.assert_close(a, b)
