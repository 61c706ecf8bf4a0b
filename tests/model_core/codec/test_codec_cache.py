"""One codec for a model, until the model changes."""

import copy
import gc
import weakref

import pytest
import torch

from model_core.codec.codec_cache import CodecCache
from model_core.compress import compress
from model_core.model import EncodecModel
from tests.peers import Peers, signal


@pytest.fixture
def model(peers: Peers) -> EncodecModel:
    return copy.deepcopy(peers.pair("encodec_24khz").ours)


def test_a_model_that_stays_the_same_keeps_its_codec(model: EncodecModel) -> None:
    codecs = CodecCache()
    first = codecs.of(model)
    model(torch.zeros(1, 1, 24_000))
    assert codecs.of(model) is first


def test_changed_weights_are_seen(model: EncodecModel) -> None:
    model.name = "encodec_24khz"
    model.set_target_bandwidth(6.0)
    wav = signal(1, 24_000, 24_000, seed=3)
    before = compress(model, wav)
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.mul_(1.1)
    changed = compress(model, wav)
    assert changed != before
    assert changed == compress(copy.deepcopy(model), wav)


def test_a_codec_goes_with_its_model(peers: Peers) -> None:
    model = copy.deepcopy(peers.pair("encodec_24khz").ours)
    codecs = CodecCache()
    engine = weakref.ref(codecs.of(model).engine)
    del model
    gc.collect()
    assert engine() is None
