"""What `EncodecModel` offers apart from its numbers: the reference's names, and clear errors."""

from pathlib import Path

import pytest
import torch

from model_core.config import CONFIGS
from model_core.errors import (
    InvalidAudioError,
    UnsupportedBandwidthError,
    WeightsUnavailableError,
)
from model_core.model import EncodecModel
from tests.peers import NAMES, Peers, signal

pytestmark = pytest.mark.usefixtures("one_thread", "no_grad")
PROPERTIES = (
    "sample_rate",
    "channels",
    "frame_rate",
    "normalize",
    "segment",
    "overlap",
    "segment_length",
    "segment_stride",
    "target_bandwidths",
    "bits_per_codebook",
    "bandwidth",
)


@pytest.mark.parametrize("name", NAMES)
def test_properties_are_the_references(peers: Peers, name: str) -> None:
    reference = peers.pair(name).reference
    ours = EncodecModel(CONFIGS[name])
    reference_values = {p: getattr(reference, p) for p in PROPERTIES if p != "bandwidth"}
    assert {p: getattr(ours, p) for p in reference_values} == reference_values
    assert ours.bandwidth is None
    assert ours.name == "unset"


@pytest.mark.parametrize("name", NAMES)
def test_tensors_have_the_references_names_and_shapes(peers: Peers, name: str) -> None:
    theirs = peers.pair(name).reference.state_dict()
    ours = EncodecModel(CONFIGS[name]).state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


@pytest.mark.parametrize("name", NAMES)
def test_forward_keeps_the_length(peers: Peers, name: str) -> None:
    pair = peers.pair(name)
    x = signal(pair.ours.channels, 1_001, pair.ours.sample_rate)[None]
    out = pair.ours(x)
    assert out.shape == x.shape
    expected = pair.reference(x)
    assert (out - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_coded_as_its_items(peers: Peers, name: str) -> None:
    pair = peers.pair(name, torch.float64)
    items = [
        signal(pair.ours.channels, 3_000, pair.ours.sample_rate, seed)[None].double()
        for seed in (1, 2)
    ]
    ((together, scales),) = pair.ours.encode(torch.cat(items))
    for index, item in enumerate(items):
        ((alone, scale),) = pair.ours.encode(item)
        assert torch.equal(together[index], alone[0])
        if scale is not None and scales is not None:
            torch.testing.assert_close(scales[index], scale[0])
    audio = pair.ours.decode([(together, scales)])
    assert audio.shape == (2, pair.ours.channels, 3_200)


@pytest.mark.parametrize("bandwidth", [0, 1, 5.9, 48, None, "6"])
@pytest.mark.parametrize("name", NAMES)
def test_other_bandwidths_are_refused(name: str, bandwidth: float) -> None:
    model = EncodecModel(CONFIGS[name])
    with pytest.raises(UnsupportedBandwidthError, match=f"no bandwidth of {bandwidth!r} kbps"):
        model.set_target_bandwidth(bandwidth)
    with pytest.raises(ValueError, match="bandwidth"):  # as the reference
        model.set_target_bandwidth(bandwidth)
    assert model.bandwidth is None


@pytest.mark.parametrize("shape", [(1, 3, 400), (1, 400), (1, 1, 0), (400,)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidAudioError):
        EncodecModel(CONFIGS["encodec_24khz"]).encode(torch.zeros(shape))


def test_audio_of_one_segment_is_one_frame() -> None:
    model = EncodecModel(CONFIGS["encodec_24khz"])
    frame = (torch.zeros(1, 2, 3, dtype=torch.long), None)
    with pytest.raises(InvalidAudioError):
        model.decode([frame, frame])


@pytest.mark.parametrize(
    "codes",
    [torch.zeros(2, 3, dtype=torch.long), torch.zeros(1, 2, 3), torch.zeros(1, 1, 2, 3).long()],
)
def test_codes_of_other_shapes_and_types_are_refused(codes: torch.Tensor) -> None:
    with pytest.raises(InvalidAudioError, match=r"\[B, K, T\]"):
        EncodecModel(CONFIGS["encodec_24khz"].with_filters(2)).decode([(codes, None)])


@pytest.mark.parametrize("name", NAMES)
def test_no_frames_are_no_audio(name: str) -> None:
    with pytest.raises(InvalidAudioError):
        EncodecModel(CONFIGS[name].with_filters(2)).decode([])


def test_silence_has_a_scale(peers: Peers) -> None:
    pair = peers.pair("encodec_48khz")
    x = torch.zeros(1, 2, 640)
    ((codes, scale),) = pair.ours.encode(x)
    ((codes_, scale_),) = pair.reference.encode(x)
    assert torch.equal(codes, codes_)
    assert scale is not None
    assert scale_ is not None
    assert torch.equal(scale, scale_)
    assert 0 < scale.item() < 1e-7
    assert pair.ours.decode([(codes, scale)]).abs().max() < 1e-6


def test_weights_of_no_checkpoint_have_no_language_model() -> None:
    with pytest.raises(WeightsUnavailableError):
        EncodecModel.encodec_model_24khz(pretrained=False).get_lm_model()


def test_a_repository_needs_pretrained(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pretrained"):
        EncodecModel.encodec_model_24khz(pretrained=False, repository=tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_audio_of_another_floating_type_is_converted(peers: Peers, name: str) -> None:
    model = peers.pair(name).ours
    x = signal(model.channels, 3_000, model.sample_rate)[None]
    codes = model.encode(x)[0][0]
    assert torch.equal(model.encode(x.double())[0][0], codes)
    with pytest.raises(InvalidAudioError, match="int16"):
        model.encode((x * 32767).to(torch.int16))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("code", [-1, 1024])
def test_codes_that_no_codebook_has_are_refused(peers: Peers, name: str, code: int) -> None:
    model = peers.pair(name).ours
    frames = model.encode(signal(model.channels, 3_000, model.sample_rate)[None])
    frames[0][0][0, 1, 2] = code
    with pytest.raises(InvalidAudioError, match="1024 entries"):
        model.decode(frames)


@pytest.mark.parametrize("name", NAMES)
def test_more_codebooks_than_a_model_has_are_refused(peers: Peers, name: str) -> None:
    model = peers.pair(name).ours
    codes = torch.zeros(1, model.quantizer.n_q + 1, 10, dtype=torch.long)
    with pytest.raises(InvalidAudioError, match=f"has {model.quantizer.n_q}"):
        model.decode([(codes, torch.ones(1, 1))])
