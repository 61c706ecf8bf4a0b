"""The same weights, whatever file they come in: same id, same codes, same audio."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import encodec
import numpy as np
import pytest
import torch
from encodec.model import LMModel as ReferenceLM

from model_core.checkpoints import Registry, shared_registry
from model_core.checkpoints.files import weights_id
from model_core.checkpoints.hub import config_from_hub, config_to_hub, from_hub, to_hub
from model_core.checkpoints.load import load_lm, load_network, state_of
from model_core.checkpoints.save import save_hub, save_lm, save_weights
from model_core.config import CONFIGS, ENCODEC_24KHZ
from model_core.errors import WeightsError
from model_core.model import EncodecModel, load_model
from tests.model_core.checkpoints.conftest import save_th
from tests.model_core.checkpoints.hub_forms import HubForm, hub_tensors, save_hub_form
from tests.peers import Peers, entries_used, signal

NAMES = ["encodec_24khz", "encodec_48khz"]


@pytest.fixture(params=NAMES)
def reference(request: pytest.FixtureRequest) -> encodec.EncodecModel:
    return request.getfixturevalue("reference24" if request.param == NAMES[0] else "reference48")


def name_of(reference: encodec.EncodecModel) -> str:
    return f"encodec_{reference.sample_rate // 1000}khz"


def ours_from(reference: encodec.EncodecModel) -> EncodecModel:
    model = EncodecModel(CONFIGS[name_of(reference)]).eval()
    model.load_state_dict(reference.state_dict())
    return model


Coding = tuple[list[tuple[torch.Tensor, torch.Tensor | None]], torch.Tensor]


def coding(model: EncodecModel | encodec.EncodecModel) -> Coding:
    """The frames of 1.2 s, and the audio that the model makes of them."""
    x = signal(model.channels, model.sample_rate * 6 // 5, model.sample_rate)[None]
    with torch.no_grad():
        frames = model.encode(x)
        return frames, model.decode(frames)


expected_coding = lru_cache(maxsize=2)(coding)  # of the same references for many tests


def assert_same_coding(a: EncodecModel, b: EncodecModel | encodec.EncodecModel) -> None:
    (frames_a, audio_a), (frames_b, audio_b) = coding(a), expected_coding(b)
    assert min(entries_used(frames_a)) > 10
    for (codes_a, scale_a), (codes_b, scale_b) in zip(frames_a, frames_b, strict=True):
        assert torch.equal(codes_a, codes_b)
        assert (scale_a is None) == (scale_b is None)
        if scale_a is not None and scale_b is not None:
            assert torch.equal(scale_a, scale_b)
    assert torch.equal(audio_a, audio_b)


def write(reference: encodec.EncodecModel, layout: str, folder: Path) -> None:
    ours = ours_from(reference)
    if layout == "reference":
        save_th(reference.state_dict(), folder, name_of(reference))
    elif layout == "own":
        save_weights(ours, folder, torch.float32)
    else:
        save_hub_form(ours, folder, "weight_g" if layout == "hub weight_g" else "original")


@pytest.mark.parametrize("layout", ["reference", "own", "hub weight_g", "hub original"])
def test_layouts_give_the_reference(
    reference: encodec.EncodecModel, layout: str, tmp_path: Path
) -> None:
    write(reference, layout, tmp_path)
    found = Registry(str(tmp_path)).find(name_of(reference))
    assert found.id == weights_id(state_of(reference))
    assert not found.published
    model = load_network(found, EncodecModel)
    assert model.name == f"{name_of(reference)}:{found.id}" == found.header_name
    assert not model.training
    assert_same_coding(model, reference)


def test_half_precision_is_read_as_float32(
    reference24: encodec.EncodecModel, tmp_path: Path
) -> None:
    halved = ours_from(reference24).half().float()
    path = save_weights(ours_from(reference24), tmp_path)
    assert path.name == f"encodec_24khz-{weights_id(state_of(halved))}.safetensors"
    model = load_model("encodec_24khz", str(tmp_path))
    assert next(model.parameters()).dtype == torch.float32
    assert_same_coding(model, halved)
    assert all(layer.codebook.inited.item() == 1 for layer in model.quantizer.codebooks)


def test_fused_weights(reference24: encodec.EncodecModel, tmp_path: Path) -> None:
    save_hub_form(ours_from(reference24), tmp_path, "fused")
    model = load_model("encodec_24khz", str(tmp_path))
    x = signal(1, 24_000, 24_000)[None]
    with torch.no_grad():
        (codes, _), (expected, _) = model.encode(x)[0], reference24.encode(x)[0]
        assert (codes == expected).float().mean() > 0.99
        decoded, expected_audio = (
            model.decode([(expected, None)]),
            reference24.decode([(expected, None)]),
        )
    assert (decoded - expected_audio).abs().max() < 1e-5 * expected_audio.abs().max()


def test_own_file_carries_a_narrower_network(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = EncodecModel(ENCODEC_24KHZ.with_filters(8)).eval()
    path = save_weights(model, tmp_path, torch.float32)
    found = Registry(str(tmp_path)).find("encodec_24khz")
    assert (found.path, found.config.n_filters) == (path, 8)
    loaded = load_network(found, EncodecModel)
    for name, tensor in model.encoder.state_dict().items():
        assert torch.equal(loaded.encoder.state_dict()[name], tensor)


def test_loading_leaves_random_numbers_alone(th24: Path) -> None:
    torch.manual_seed(9)
    expected = torch.rand(1)
    torch.manual_seed(9)
    load_model("encodec_24khz", str(th24.parent))
    assert torch.equal(torch.rand(1), expected)


def hub_peer(reference: encodec.EncodecModel, form: HubForm) -> Any:
    """`transformers`' own model; its methods may also return bare tuples, so mypy is not asked."""
    import transformers  # here: it takes seconds, in each process that collects tests

    config = config_to_hub(CONFIGS[name_of(reference)])
    peer = transformers.EncodecModel(transformers.EncodecConfig(**config)).eval()
    if form == "fused":
        for module in list(peer.modules()):
            if torch.nn.utils.parametrize.is_parametrized(module, "weight"):
                torch.nn.utils.parametrize.remove_parametrizations(module, "weight")
    tensors = hub_tensors(state_of(reference), form)
    peer.load_state_dict({n: torch.from_numpy(a) for n, a in tensors.items()}, strict=True)
    return peer


@pytest.mark.parametrize(
    ("name", "form"),
    [(NAMES[0], "weight_g"), (NAMES[0], "original"), (NAMES[0], "fused"), (NAMES[1], "original")],
)
def test_transformers_codes_the_same(name: str, form: HubForm, peers: Peers) -> None:
    """Its own padding and masks aside: the input has whole segments only."""
    reference = peers.pair(name).reference
    peer = hub_peer(reference, form)
    ours = ours_from(reference)
    x = signal(ours.channels, ours.segment_stride or 24_000, ours.sample_rate)[None]
    x = torch.nn.functional.pad(x, (0, (ours.segment_length or x.shape[-1]) - x.shape[-1]))
    for bandwidth in (ours.target_bandwidths[0], ours.target_bandwidths[-1]):
        ours.set_target_bandwidth(bandwidth)
        with torch.no_grad():
            frames = ours.encode(x)[:1]
            theirs = peer.encode(x[..., : ours.segment_length], bandwidth=bandwidth)
            codes = theirs.audio_codes[0]
            agreement = (codes == frames[0][0]).float().mean()
            assert agreement == 1 if form != "fused" else agreement > 0.98
            audio = peer.decode(frames[0][0][None], [frames[0][1]]).audio_values
            expected = ours.decode(frames)
        assert (audio - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("form", ["weight_g", "original"])
def test_names_there_and_back(reference: encodec.EncodecModel, form: HubForm) -> None:
    state = state_of(reference)
    back = from_hub(hub_tensors(state, form), CONFIGS[name_of(reference)])
    assert back.keys() == state.keys()
    assert all(np.array_equal(back[name], state[name]) for name in state)


def test_transformers_folder(reference24: encodec.EncodecModel, tmp_path: Path) -> None:
    """A folder that `transformers` itself has written, and one of ours that it reads."""
    import transformers

    hub_peer(reference24, "original").save_pretrained(tmp_path / "theirs")
    found = Registry(str(tmp_path / "theirs")).find("encodec_24khz")
    assert found.id == weights_id(state_of(reference24))
    save_hub(ours_from(reference24), tmp_path / "ours")
    peer = transformers.EncodecModel.from_pretrained(tmp_path / "ours")
    theirs = state_of(peer)
    for name, values in to_hub(state_of(reference24)).items():
        assert np.array_equal(theirs[name], values)


@pytest.mark.parametrize("name", NAMES)
def test_hub_configuration_there_and_back(name: str) -> None:
    import transformers

    narrow = CONFIGS[name].with_filters(16)
    peer = transformers.EncodecConfig(**config_to_hub(narrow))
    assert config_from_hub(peer.to_dict(), "config.json") == narrow


def test_language_model(
    th24: Path, reference_lm: ReferenceLM, reference24: encodec.EncodecModel, tmp_path: Path
) -> None:
    owner = save_weights(ours_from(reference24), tmp_path, torch.float32)
    model = load_model("encodec_24khz", str(tmp_path))
    theirs = save_th(reference_lm.state_dict(), tmp_path, "encodec_lm_24khz")
    from_reference = model.get_lm_model()
    ours = save_lm(from_reference, model.name, tmp_path, torch.float32)
    theirs.unlink()
    found = Registry(str(tmp_path)).find("encodec_24khz")
    assert found.path == owner
    assert found.lm is not None
    assert found.lm.path == ours
    assert found.lm.id == weights_id(state_of(reference_lm))
    assert found.lm_header_name == f"{model.name}+{found.lm.id}"
    shared = shared_registry(str(tmp_path)).find_exact(model.name)
    assert shared.lm_header_name == found.lm_header_name
    registry = Registry(str(tmp_path))
    loaded = load_lm(registry.fetch_lm(registry.find_exact(found.lm_header_name)))
    indices = torch.randint(0, 1025, (1, 32, 3))
    with torch.no_grad():
        assert torch.equal(loaded(indices)[0], reference_lm(indices)[0])
        assert torch.equal(from_reference(indices)[0], reference_lm(indices)[0])


def test_repository_of_the_reference_interface(th24: Path) -> None:
    model = EncodecModel.encodec_model_24khz(repository=th24.parent)
    assert model.name.startswith("encodec_24khz:")
    assert model.weights == str(th24.parent)
    assert isinstance(
        load_network(Registry(str(th24.parent)).find("encodec_24khz"), EncodecModel), EncodecModel
    )


def test_half_precision_that_overflows_is_refused(tmp_path: Path) -> None:
    model = EncodecModel(ENCODEC_24KHZ.with_filters(2))
    with torch.no_grad():
        next(model.parameters()).fill_(1e6)
    with pytest.raises(WeightsError, match="out of range"):
        save_weights(model, tmp_path)
    assert list(tmp_path.iterdir()) == []
