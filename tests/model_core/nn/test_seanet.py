"""Encoder and decoder: the reference's outputs, at the default width and at others."""

import warnings
from typing import Any

import pytest
import torch
from encodec.modules.seanet import SEANetDecoder as ReferenceDecoder
from encodec.modules.seanet import SEANetEncoder as ReferenceEncoder
from torch import nn

from model_core.nn.seanet import SEANetDecoder, SEANetEncoder

pytestmark = pytest.mark.usefixtures("one_thread", "no_grad")
SHAPES: list[dict[str, Any]] = [
    {"causal": True, "norm": "weight_norm", "channels": 1, "n_filters": 4},
    {"causal": False, "norm": "time_group_norm", "channels": 2, "n_filters": 4},
    {"causal": True, "norm": "weight_norm", "n_filters": 4, "n_residual_layers": 2, "lstm": 0},
    {"causal": False, "norm": "weight_norm", "n_filters": 2, "ratios": [4, 3], "dimension": 16},
]


def same_weights(theirs: nn.Module, ours: nn.Module) -> None:
    ours.load_state_dict(theirs.state_dict())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("samples", [1, 7, 320, 1000])
def test_outputs_are_the_references(shape: dict[str, Any], samples: int) -> None:
    torch.manual_seed(8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        their_encoder, their_decoder = ReferenceEncoder(**shape), ReferenceDecoder(**shape)
    encoder, decoder = SEANetEncoder(**shape), SEANetDecoder(**shape)
    same_weights(their_encoder, encoder)
    same_weights(their_decoder, decoder)
    x = torch.randn(2, encoder.channels, samples)
    latent = encoder(x)
    frames = -(-samples // encoder.hop_length)
    assert latent.shape == (2, encoder.dimension, frames)
    assert torch.equal(latent, their_encoder(x))
    audio = decoder(latent)
    assert audio.shape == (2, encoder.channels, frames * encoder.hop_length)
    assert torch.equal(audio, their_decoder(latent))


def test_a_causal_encoder_does_not_look_ahead() -> None:
    torch.manual_seed(9)
    encoder = SEANetEncoder(n_filters=4, causal=True, norm="weight_norm")
    decoder = SEANetDecoder(n_filters=4, causal=True, norm="weight_norm")
    x = torch.randn(1, 1, 320 * 12)
    changed = x.clone()
    changed[..., 320 * 10 :] = 0
    latent, other = encoder(x), encoder(changed)
    torch.testing.assert_close(latent[..., :10], other[..., :10])
    assert not torch.allclose(latent[..., 10:], other[..., 10:])
    audio, other = decoder(latent), decoder(torch.cat([latent[..., :10], -latent[..., 10:]], 2))
    torch.testing.assert_close(audio[..., :3200], other[..., :3200])
    assert not torch.allclose(audio[..., 3200:], other[..., 3200:])
