"""Channels that others can stand in for are taken out, and the output stays."""

import pytest
import torch

from model_core.config import ENCODEC_24KHZ
from model_core.nn.network import EncodecNetwork
from model_core.training.codec.room import conv_of, make_room
from model_core.training.codec.widen import doubled
from tests.model_core.training.codec.narrow import narrow
from tests.signals import signal

pytestmark = pytest.mark.usefixtures("one_thread")
ROOM = {8: 4, 16: 8, 32: 16, 64: 32, 128: 64}


def twice(noise: float) -> EncodecNetwork:
    """A network each of whose channels is there twice, and differs by `noise`."""
    big = doubled(narrow(ENCODEC_24KHZ, 4), torch.Generator().manual_seed(2))
    with torch.no_grad():
        for name, bias in big.named_parameters():
            if name.endswith(("bias", "bias_hh_l1")):
                bias.add_(noise * torch.randn(bias.shape))
    return big


@torch.no_grad()
def test_half_of_the_channels_are_not_needed() -> None:
    model = twice(noise=0)
    clips = torch.stack([signal(1, 12_000, 24_000, seed=seed) for seed in range(4)])
    roomy = make_room(model, clips, ROOM)
    clip = signal(1, 12_000, 24_000, seed=9)[None]
    latent = model.encoder(clip)
    power = latent.square().mean()
    assert (roomy.encoder(clip) - latent).square().mean() < 1e-4 * power
    audio = model.decoder(latent)
    assert (roomy.decoder(latent) - audio).square().mean() < 1e-4 * audio.square().mean()


@torch.no_grad()
def test_nothing_hears_the_free_channels_and_they_hear_nothing() -> None:
    model = twice(noise=0.1)
    clip = signal(1, 12_000, 24_000)[None]
    roomy = make_room(model, clip, ROOM)
    latent, audio = roomy.encoder(clip), roomy.decoder(roomy.encoder(clip))
    for half, x in ((roomy.encoder.model, clip), (roomy.decoder.model, latent)):
        for layer in list(half)[:-1]:
            x = layer(x)
            assert not x[:, : x.shape[1] // 2].any(), layer
            assert x[:, x.shape[1] // 2 :].any(dim=2).all(), layer
    first = conv_of(roomy.encoder.model[0])
    assert first.bias is not None
    first.bias[:4] = 1
    assert torch.equal(roomy.encoder(clip), latent)
    assert torch.equal(roomy.decoder(latent), audio)
