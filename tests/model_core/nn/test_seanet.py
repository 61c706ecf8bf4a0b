"""Encoder, decoder and their LSTM: the reference's outputs, at the default width and at others."""

import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch
from encodec.modules.lstm import SLSTM as REFERENCE_LSTM
from encodec.modules.seanet import SEANetDecoder as ReferenceDecoder
from encodec.modules.seanet import SEANetEncoder as ReferenceEncoder
from torch import nn

from model_core.config import ENCODEC_24KHZ, ModelConfig
from model_core.nn.seanet import SLSTM, SEANetDecoder, SEANetEncoder

pytestmark = pytest.mark.usefixtures("one_thread", "no_grad")
SHAPES: list[dict[str, Any]] = [
    {"causal": True, "norm": "weight_norm", "channels": 1, "n_filters": 4},
    {"causal": False, "norm": "time_group_norm", "channels": 2, "n_filters": 4},
    {"causal": True, "norm": "weight_norm", "n_filters": 4, "n_residual_layers": 2, "lstm": 0},
    {"causal": False, "norm": "weight_norm", "n_filters": 2, "ratios": (4, 3), "dimension": 16},
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
    config: ModelConfig = replace(ENCODEC_24KHZ, **shape)
    encoder, decoder = SEANetEncoder(config), SEANetDecoder(config)
    same_weights(their_encoder, encoder)
    same_weights(their_decoder, decoder)
    x = torch.randn(2, config.channels, samples)
    latent = encoder(x)
    frames = -(-samples // config.hop_length)
    assert latent.shape == (2, config.dimension, frames)
    assert torch.equal(latent, their_encoder(x))
    audio = decoder(latent)
    assert audio.shape == (2, config.channels, frames * config.hop_length)
    assert torch.equal(audio, their_decoder(latent))


def test_a_causal_encoder_does_not_look_ahead() -> None:
    torch.manual_seed(9)
    config = ENCODEC_24KHZ.with_filters(4)
    encoder, decoder = SEANetEncoder(config), SEANetDecoder(config)
    x = torch.randn(1, 1, 320 * 12)
    changed = x.clone()
    changed[..., 320 * 10 :] = 0
    latent, other = encoder(x), encoder(changed)
    torch.testing.assert_close(latent[..., :10], other[..., :10])
    assert not torch.allclose(latent[..., 10:], other[..., 10:])
    audio, other = decoder(latent), decoder(torch.cat([latent[..., :10], -latent[..., 10:]], 2))
    torch.testing.assert_close(audio[..., :3200], other[..., :3200])
    assert not torch.allclose(audio[..., 3200:], other[..., 3200:])


def test_bits_of_the_lstm_are_the_references() -> None:
    torch.manual_seed(1)
    theirs, ours = REFERENCE_LSTM(12, 2), SLSTM(12, 2)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(3, 12, 40)
    assert torch.equal(ours(x), theirs(x))


def test_pieces_with_carried_state_are_the_whole() -> None:
    torch.manual_seed(2)
    lstm = SLSTM(12, 2).double()
    x = torch.randn(2, 12, 31, dtype=torch.float64)
    state, pieces = None, []
    for piece in x.split([1, 9, 20, 1], dim=2):
        y, state = lstm.step(piece, state)
        pieces.append(y)
    torch.testing.assert_close(torch.cat(pieces, dim=2), lstm(x))
    assert state is not None
    assert [s.shape for s in state] == [(2, 2, 12)] * 2
