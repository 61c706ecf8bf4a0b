"""In float64 every code is the reference's, and the audio is within 1e-9 of the peak."""

import encodec.utils
import pytest
import torch
from encodec.model import EncodecModel as ReferenceModel
from torch import Tensor

from model_core.model import EncodecModel
from model_core.utils import convert_audio
from tests.peers import (
    LENGTHS,
    NAMES,
    Frames,
    Pair,
    Peers,
    entries_used,
    reference_decodes,
    signal,
)

pytestmark = pytest.mark.usefixtures("one_thread", "no_grad")
SOURCES = {"mono": 1, "stereo": 2}
THIRTY = {"encodec_24khz": "stereo", "encodec_48khz": "mono"}  # the one that is converted


def converted(pair: Pair, source: str, samples: int) -> Tensor:
    """`[1, channels, samples]` at the model's rate, the same for both by their own conversions."""
    rate, channels = pair.ours.sample_rate, pair.ours.channels
    wav = signal(SOURCES[source], samples, rate)
    theirs = encodec.utils.convert_audio(wav, rate, rate, channels)
    assert torch.equal(convert_audio(wav, rate, rate, channels), theirs)
    return theirs[None].double()


def encode(model: EncodecModel | ReferenceModel, x: Tensor, bandwidth: float) -> Frames:
    model.set_target_bandwidth(bandwidth)
    return model.encode(x)


def assert_same_frames(ours: Frames, theirs: Frames) -> None:
    assert len(ours) == len(theirs)
    for (codes, scale), (codes_, scale_) in zip(ours, theirs, strict=True):
        assert torch.equal(codes, codes_)
        assert (scale is None) == (scale_ is None)
        if scale is not None:
            torch.testing.assert_close(scale, scale_, rtol=1e-12, atol=0)


def assert_same_audio(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1e-9 * theirs.abs().max()


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(("name", "samples"), [(n, length) for n in NAMES for length in LENGTHS[n]])
def test_codes_and_audio_of_any_length(peers: Peers, name: str, source: str, samples: int) -> None:
    pair = peers.pair(name, torch.float64)
    x = converted(pair, source, samples)
    highest = pair.ours.target_bandwidths[-1]
    theirs = encode(pair.reference, x, highest)
    ours = encode(pair.ours, x, highest)
    assert_same_frames(ours, theirs)
    if source == "mono" and reference_decodes(name, samples):
        assert_same_audio(pair.ours.decode(ours), pair.reference.decode(theirs))


@pytest.mark.parametrize("samples", [1, 2239, 24000])
@pytest.mark.parametrize("name", NAMES)
def test_every_bandwidth(peers: Peers, name: str, samples: int) -> None:
    pair = peers.pair(name, torch.float64)
    x = converted(pair, THIRTY[name], samples)
    all_codes = encode(pair.ours, x, pair.ours.target_bandwidths[-1])
    for bandwidth in pair.ours.target_bandwidths:
        theirs = encode(pair.reference, x, bandwidth)
        ours = encode(pair.ours, x, bandwidth)
        assert_same_frames(ours, theirs)
        num_codebooks = pair.ours.config.codebooks_for(bandwidth)
        assert_same_frames(ours, [(codes[:, :num_codebooks], s) for codes, s in all_codes])
        assert_same_audio(pair.ours.decode(ours), pair.reference.decode(theirs))


@pytest.mark.parametrize("name", NAMES)
def test_thirty_seconds(peers: Peers, name: str) -> None:
    pair = peers.pair(name, torch.float64)
    x = converted(pair, THIRTY[name], 30 * pair.ours.sample_rate)
    highest = pair.ours.target_bandwidths[-1]
    theirs = encode(pair.reference, x, highest)
    assert min(entries_used(theirs)) > 700  # of 1024: equality would mean nothing otherwise
    assert_same_frames(encode(pair.ours, x, highest), theirs)


@pytest.mark.parametrize("name", NAMES)
def test_resampled_source(peers: Peers, name: str) -> None:
    pair = peers.pair(name, torch.float64)
    rate, channels = pair.ours.sample_rate, pair.ours.channels
    wav = signal(2, 44_100 // 2, 44_100)
    ours = convert_audio(wav, 44_100, rate, channels)
    theirs = encodec.utils.convert_audio(wav, 44_100, rate, channels)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    bandwidth = pair.ours.target_bandwidths[0]
    assert_same_frames(
        encode(pair.ours, ours[None].double(), bandwidth),
        encode(pair.reference, theirs[None].double(), bandwidth),
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("samples", [*LENGTHS["encodec_48khz"], 24000 * 30, 48000 * 30])
def test_frames_announced_are_frames_coded(peers: Peers, name: str, samples: int) -> None:
    """`ceil(n / 320)` a segment, the repository head's count, is what the encoder makes."""
    config = peers.pair(name).ours.config
    assert config.frames(samples) == -(-samples * config.frame_rate // config.sample_rate)
    if samples <= 2240:
        codes = peers.pair(name).ours.encode(torch.zeros(1, config.channels, samples))[0][0]
        assert codes.shape[-1] == config.frames(samples)
