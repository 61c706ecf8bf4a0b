"""Same codes and audio as `transformers`' EncodecModel, from a converted checkpoint.

That library follows the reference but for two things:
- it stacks the segments of 48 kHz audio, so the last one's codes come filled up with zeros and
  `last_frame_pad_length` says by how many; it cuts them off again before decoding;
- like the reference, it cannot join segments where the one before the last reaches past it.
Its `hf`-style input padding (the feature extractor) is not part of the model and not used here.
(It is imported where it is used: it takes seconds, in each process that collects tests.)
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model_core.checkpoints.hub import config_from_hub, config_to_hub, from_hub, to_hub
from model_core.checkpoints.load import load_state, state_of
from model_core.config import CONFIGS
from model_core.model import EncodecModel
from tests.model_core.checkpoints.hub_forms import HubForm, hub_tensors
from tests.peers import NAMES, Pair, Peers, signal

pytestmark = pytest.mark.usefixtures("one_thread", "no_grad")


def hub_model(pair: Pair) -> Any:
    """The library's model with the pair's weights, by our configuration and tensor names."""
    import transformers

    values = config_to_hub(CONFIGS[pair.name])
    model = transformers.EncodecModel(transformers.EncodecConfig(**values)).eval()
    tensors = to_hub(state_of(pair.reference))
    model.load_state_dict({name: torch.from_numpy(values) for name, values in tensors.items()})
    return model.double()


@pytest.fixture(scope="module", params=NAMES)
def both(request: Any, peers: Peers) -> tuple[Pair, Any]:
    pair = peers.pair(request.param, torch.float64)
    return pair, hub_model(peers.pair(request.param))


def codes_of(encoded: Any, segment: int, segments: int) -> Tensor:
    codes = encoded.audio_codes[segment]
    padding = encoded.last_frame_pad_length if segment == segments - 1 else 0
    return codes[..., : codes.shape[-1] - padding]


@pytest.mark.parametrize("samples", [1, 320, 2239, 24_001, 48_000, 60_001])
def test_codes_and_audio(both: tuple[Pair, Any], samples: int) -> None:
    pair, hub = both
    ours = pair.ours
    x = signal(ours.channels, samples, ours.sample_rate)[None].double()
    bandwidth = 6.0
    ours.set_target_bandwidth(bandwidth)
    frames = ours.encode(x)
    encoded: Any = hub.encode(x, bandwidth=bandwidth, return_dict=True)
    assert len(encoded.audio_codes) == len(frames)
    for index, (codes, scale) in enumerate(frames):
        assert torch.equal(codes_of(encoded, index, len(frames)), codes)
        if scale is None:
            assert encoded.audio_scales[index] is None
        else:
            torch.testing.assert_close(encoded.audio_scales[index], scale, rtol=1e-12, atol=0)
    decoded: Any = hub.decode(
        encoded.audio_codes,
        encoded.audio_scales,
        last_frame_pad_length=encoded.last_frame_pad_length,
        return_dict=True,
    )
    expected = decoded.audio_values
    audio = ours.decode(frames)
    assert audio.shape == expected.shape
    assert (audio - expected).abs().max() <= 1e-9 * expected.abs().max()


@pytest.mark.parametrize("form", ["weight_g", "original", "fused"])
def test_every_form_of_weight_norm_comes_back(peers: Peers, form: HubForm) -> None:
    pair = peers.pair("encodec_24khz")
    ours = EncodecModel(pair.ours.config).eval()
    load_state(
        ours, from_hub(hub_tensors(state_of(pair.reference), form), ours.config), Path("ours")
    )
    x = signal(1, 4_800, 24_000)[None]
    (codes, _), (expected, _) = ours.encode(x)[0], pair.reference.encode(x)[0]
    assert (codes == expected).double().mean() >= (0.999 if form == "fused" else 1)
    audio, wanted = ours.decode([(expected, None)]), pair.reference.decode([(expected, None)])
    assert (audio - wanted).abs().max() <= 1e-4 * wanted.abs().max()


@pytest.mark.parametrize("name", NAMES)
def test_configuration_comes_back(name: str) -> None:
    import transformers

    library = transformers.EncodecConfig(**config_to_hub(CONFIGS[name]))
    config = config_from_hub(library.to_dict(), "here")
    assert config == CONFIGS[name]
    assert library.hop_length == config.hop_length
    assert library.frame_rate == config.frame_rate
    assert library.chunk_length == config.segment_length
    assert library.chunk_stride == config.segment_stride
