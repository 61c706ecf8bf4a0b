"""Weight norm folded for inference changes no bit."""

import copy

import torch

from model_core.model import EncodecModel
from model_core.nn.conv import fold_weight_norm
from tests.peers import Peers, signal


def test_folded_model_gives_the_same_bits(peers: Peers, one_thread: None, no_grad: None) -> None:
    plain = peers.pair("encodec_24khz").ours
    folded: EncodecModel = copy.deepcopy(plain)
    fold_weight_norm(folded)
    names = set(folded.state_dict())
    assert not any(name.endswith(("weight_g", "weight_v")) for name in names)
    assert "encoder.model.0.conv.conv.weight" in names
    x = signal(1, 10_001, 24_000)[None]
    assert torch.equal(folded.encoder(x), plain.encoder(x))
    assert torch.equal(folded.decode(plain.encode(x)), plain.decode(plain.encode(x)))
    fold_weight_norm(folded)  # a second time there is nothing left to do
    assert set(folded.state_dict()) == names
