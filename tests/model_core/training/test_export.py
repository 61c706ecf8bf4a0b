"""What a run has learned reaches each peer: same codes, same audio, whatever the format."""

import argparse
import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from encodec.model import EncodecModel as ReferenceModel
from encodec.model import LMModel as ReferenceLM
from encodec.modules import SEANetDecoder, SEANetEncoder
from torch import Tensor

from model_core import checkpoints
from model_core.checkpoints import Registry
from model_core.checkpoints.files import weights_id
from model_core.checkpoints.load import state_of
from model_core.checkpoints.save import save_lm
from model_core.codec import Codec
from model_core.config import CONFIGS, LMConfig
from model_core.errors import SettingsError, WeightsError
from model_core.model import EncodecModel, load_model
from model_core.nn.lm import LMModel
from model_core.training import export as command
from model_core.training.export import export
from model_core.training.source import load_run, load_source
from model_core.training.state import save_state
from tests.peers import NAMES, entries_used, signal
from tests.service.narrow import write_narrow_models

pytestmark = pytest.mark.usefixtures("one_thread", "no_grad")
ALL = ("safetensors", "reference", "hf")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, EncodecModel]:
    """Narrow models whose codebooks fit what reaches them, with values float16 cannot hold."""
    folder = tmp_path_factory.mktemp("narrow")
    write_narrow_models(folder)
    return {name: load_model(name, str(folder)) for name in NAMES}


def write_run(trained: EncodecModel, folder: Path, **changes: object) -> Path:
    state = {
        "kind": "codec",
        "config": {"model": trained.config.name, "n_filters": trained.config.n_filters},
        "model": trained.state_dict(),
        "average": None,
        "quantising": True,
        "step": 7,
    }
    save_state({**state, **changes}, folder / "state.pt")
    return folder


def run(*arguments: object) -> None:
    """As `encodec-train export` does."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    command.run(parser.parse_args([str(a) for a in arguments]))


def heard(model: EncodecModel) -> Tensor:
    """`[1, C, T]`, one whole segment where there are segments."""
    return signal(model.channels, model.segment_length or 24_000, model.sample_rate, seed=5)[None]


def reference_of(width: int, name: str) -> ReferenceModel:
    """The reference package's own model, of another width."""
    factory = getattr(ReferenceModel, f"encodec_model_{name.removeprefix('encodec_')}")
    config = CONFIGS[name]
    shape: dict[str, Any] = {
        "channels": config.channels,
        "norm": config.norm,
        "causal": config.causal,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model: ReferenceModel = factory(pretrained=False)
        model.encoder = SEANetEncoder(n_filters=width, **shape)
        model.decoder = SEANetDecoder(n_filters=width, **shape)
    return model.eval()


def hub_model(folder: Path) -> Any:
    """The model of `transformers` that is in `folder`."""
    import transformers  # here: it takes seconds, in each process that collects tests

    return transformers.EncodecModel.from_pretrained(folder).eval()


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("name", NAMES)
def test_all_peers_code_the_same(
    name: str, dtype: str, trained: dict[str, EncodecModel], tmp_path: Path
) -> None:
    source = write_run(trained[name], tmp_path / "run")
    out = tmp_path / "out"
    run(source, out, "--format", *ALL, "--dtype", dtype)
    ours = load_model(name, str(out))
    x = heard(ours)
    ours.set_target_bandwidth(6.0)
    (codes, scale), *_ = frames = ours.encode(x)[:1]
    audio = ours.decode(frames)
    assert min(entries_used(frames)) > 10
    if dtype == "float32":
        trained[name].set_target_bandwidth(6.0)
        assert torch.equal(trained[name].encode(x)[0][0], codes)

    (th,) = out.glob(f"{name}-*.th")
    state = torch.hub.load_state_dict_from_url(
        th.as_uri(), str(tmp_path / "hub"), progress=False, check_hash=True
    )
    reference = reference_of(ours.config.n_filters, name)
    reference.load_state_dict(state)
    reference.set_target_bandwidth(6.0)
    theirs = reference.encode(x)[:1]
    assert torch.equal(theirs[0][0], codes)
    assert torch.equal(reference.decode(theirs), audio)

    hub = hub_model(out / name)
    assert hub.dtype == torch.float32
    encoded = hub.encode(x, bandwidth=6.0)
    assert torch.equal(encoded.audio_codes[0], codes)
    decoded = hub.decode(codes[None], [scale]).audio_values
    assert (decoded - audio).abs().max() <= 1e-5 * audio.abs().max()


@pytest.mark.parametrize("only", [*ALL, "reference hf"])
def test_each_format_can_be_served(
    only: str, trained: dict[str, EncodecModel], tmp_path: Path
) -> None:
    """Alone in its folder, and again after training has gone on; always under one id."""
    name = NAMES[0]
    source = write_run(trained[name], tmp_path / "run")
    run(source, tmp_path / "out", "--format", *only.split())
    expected = copy.deepcopy(trained[name]).half().float()
    codec = Codec.load(name, str(tmp_path / "out"))
    assert codec.name == f"{name}:{weights_id(state_of(expected))}"
    later = {key: t * 1.01 for key, t in trained[name].state_dict().items()}
    run(
        write_run(trained[name], source, model=later, step=8),
        tmp_path / "out",
        "--format",
        *only.split(),
    )
    newer = Codec.load(name, str(tmp_path / "out"))
    assert newer.name != codec.name
    if only != "hf":
        assert Codec.load(codec.name, str(tmp_path / "out"), exact=True).name == codec.name


def test_the_average_is_preferred(trained: dict[str, EncodecModel], tmp_path: Path) -> None:
    model = trained[NAMES[0]]
    average = {key: tensor * 0.5 for key, tensor in model.state_dict().items()}
    loaded = load_run(write_run(model, tmp_path, average=average))
    assert weights_id(state_of(loaded.model)) == weights_id(average)
    assert loaded.step == 7
    loaded = load_run(write_run(model, tmp_path))
    assert weights_id(state_of(loaded.model)) == weights_id(state_of(model))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"quantising": False}, "no codebooks yet"),
        ({"kind": "lm"}, "not the state of a language model"),
        ({"config": {}}, "not the state"),
        ({"model": {}}, "missing"),
        ({"average": {"encoder.nothing": torch.zeros(1)}}, "unexpected"),
    ],
)
def test_runs_that_cannot_be_exported(
    changes: dict[str, object], fault: str, trained: dict[str, EncodecModel], tmp_path: Path
) -> None:
    source = write_run(trained[NAMES[0]], tmp_path / "run", **changes)
    with pytest.raises(WeightsError, match=fault) as caught:
        run(source, tmp_path / "out")
    assert str(source) in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_values_out_of_range(trained: dict[str, EncodecModel], tmp_path: Path) -> None:
    big = {k: t * 1e9 if "weight_g" in k else t for k, t in trained[NAMES[0]].state_dict().items()}
    source = write_run(trained[NAMES[0]], tmp_path / "run", model=big)
    for only in ALL:
        with pytest.raises(WeightsError, match="out of range"):
            run(source, tmp_path / "out", "--format", only)
    run(source, tmp_path / "out", "--dtype", "float32")


def lm_of(width: int = 16, layers: int = 1, depth: bool = False) -> LMModel:
    torch.manual_seed(3)
    return LMModel.from_config(LMConfig(NAMES[0], width, layers, depth)).eval()


def test_a_language_model_stays_with_its_weights(
    trained: dict[str, EncodecModel], tmp_path: Path
) -> None:
    name, out = NAMES[0], tmp_path / "out"
    source = write_run(trained[name], tmp_path / "run")
    run(source, out)
    header = load_model(name, str(out)).name
    lm = save_lm(lm_of(), header, out)
    run(source, out)
    found = Registry(str(out)).find(name)
    assert found.lm is not None
    assert found.lm.path == lm, "made for these very weights"
    later = {key: t * 1.01 for key, t in trained[name].state_dict().items()}
    run(write_run(trained[name], source, model=later), out)
    newer = Registry(str(out)).find(name)
    assert newer.header_name != header
    assert newer.lm is None, "another codec's language model"
    exact = Registry(str(out)).find_exact(found.lm_header_name or "")
    assert exact.lm is not None
    assert exact.lm.path == lm


@pytest.mark.parametrize("layout", ["folder", "safetensors file", "th file", "hf"])
def test_finished_weights_keep_their_identity(
    layout: str, trained: dict[str, EncodecModel], tmp_path: Path
) -> None:
    name = NAMES[0]
    made = export(load_run(write_run(trained[name], tmp_path / "run")), tmp_path / "made", ALL)
    hub, th, own = made
    source = {"folder": own.parent, "safetensors file": own, "th file": th, "hf": hub}[layout]
    run(source, tmp_path / "again", "--format", *ALL)
    again = Registry(str(tmp_path / "again")).find(name)
    assert again.path.name == own.name
    assert again.path.stat().st_size == own.stat().st_size
    weighty = {path.suffix for path in (tmp_path / "again").iterdir()}
    assert weighty == {".th", ".safetensors", ".json", ""}


def test_the_bundled_weights_for_the_others(tmp_path: Path) -> None:
    bundled = load_model(NAMES[0], "bundled")
    run("bundled", tmp_path, "--model", NAMES[0], "--format", *ALL)
    x = heard(bundled)
    bundled.set_target_bandwidth(6.0)
    (codes, _), *_ = bundled.encode(x)
    (th,) = tmp_path.glob(f"{NAMES[0]}-*.th")
    reference = reference_of(bundled.config.n_filters, NAMES[0])
    reference.load_state_dict(torch.load(th, weights_only=True))
    reference.set_target_bandwidth(6.0)
    assert torch.equal(reference.encode(x)[0][0], codes)
    hub = hub_model(tmp_path / NAMES[0])
    assert torch.equal(hub.encode(x, bandwidth=6.0).audio_codes[0], codes)
    assert Registry(str(tmp_path)).find(NAMES[0]).header_name == bundled.name


def test_a_language_model_goes_along(trained: dict[str, EncodecModel], tmp_path: Path) -> None:
    name = NAMES[0]
    made = tmp_path / "made"
    run(write_run(trained[name], tmp_path / "run"), made)
    lm = lm_of(200, 5)
    header = load_model(name, str(made)).name
    own = save_lm(lm, header, made)
    checkpoints.write_index(made, {name: (Path(f"{name}-{header[-8:]}.safetensors"), own)})
    expected = Registry(str(made)).find(name).lm_header_name
    out = tmp_path / "out"
    run(made, out, "--format", "reference")
    assert Registry(str(out)).find(name).lm_header_name == expected
    (th,) = out.glob("encodec_lm_24khz-*.th")
    reference = ReferenceLM(32, 1024, num_layers=5, dim=200, past_context=262).eval()
    reference.load_state_dict(torch.load(th, weights_only=True))
    codes = torch.randint(0, 1025, (1, 32, 3))
    assert torch.equal(reference(codes)[0], lm.half().float()(codes)[0])


def test_the_reference_gets_no_language_model_with_a_depth_head(
    trained: dict[str, EncodecModel], tmp_path: Path
) -> None:
    name, made = NAMES[0], tmp_path / "made"
    run(write_run(trained[name], tmp_path / "run"), made)
    lm = save_lm(lm_of(200, 5, depth=True), load_model(name, str(made)).name, made)
    (made / "index.json").unlink()  # it says that there is none
    run(made, tmp_path / "own")
    found = Registry(str(tmp_path / "own")).find(name)
    assert found.lm is not None
    assert found.lm.path.name == lm.name
    run(made, tmp_path / "out", "--format", "reference")
    assert Registry(str(tmp_path / "out")).find(name).lm is None
    assert not list((tmp_path / "out").glob("encodec_lm_*"))


def test_rounding_makes_other_weights(trained: dict[str, EncodecModel], tmp_path: Path) -> None:
    """Then the language model would have been made for others than these."""
    name = NAMES[0]
    run(write_run(trained[name], tmp_path / "run"), tmp_path / "made", "--dtype", "float32")
    header = load_model(name, str(tmp_path / "made")).name
    save_lm(lm_of(), header, tmp_path / "made")
    (tmp_path / "made" / "index.json").unlink()
    for dtype in ("float16", None):
        out = tmp_path / str(dtype)
        run(tmp_path / "made", out, *(() if dtype is None else ("--dtype", dtype)))
        found = Registry(str(out)).find(name)
        assert (found.header_name == header) == (dtype is None)
        assert (found.lm is not None) == (dtype is None)


def test_what_must_be_said(trained: dict[str, EncodecModel], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="say which model"):
        run("bundled", tmp_path / "out")
    source = write_run(trained[NAMES[0]], tmp_path / "run")
    with pytest.raises(WeightsError, match=NAMES[1]):
        run(source, tmp_path / "out", "--model", NAMES[1])
    (own,) = export(load_source(str(source)), tmp_path / "out")
    with pytest.raises(WeightsError, match=NAMES[1]):
        run(own, tmp_path / "again", "--model", NAMES[1])
