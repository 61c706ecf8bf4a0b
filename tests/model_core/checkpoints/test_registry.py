"""Which weights a name gets, and which weights a header finds."""

import json
import logging
import shutil
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model_core import checkpoints
from model_core.checkpoints import Registry, hub, weight_set
from model_core.checkpoints.files import weights_id
from model_core.checkpoints.load import load_lm, load_network, state_of
from model_core.checkpoints.read import read_state
from model_core.checkpoints.save import save_lm, save_weights
from model_core.config import CONFIGS, ENCODEC_24KHZ
from model_core.engine import StateDict
from model_core.errors import UnknownModelError, WeightsError, WeightsUnavailableError
from model_core.model import EncodecModel, load_model
from model_core.nn.lm import LMModel
from model_core.nn.network import EncodecNetwork
from tests.model_core.checkpoints.conftest import FileServer
from tests.model_core.checkpoints.hub_forms import save_hub_form

NAME = "encodec_24khz"
Make = Callable[..., Registry]


def narrow(seed: int) -> EncodecModel:
    torch.manual_seed(seed)
    return EncodecModel(ENCODEC_24KHZ.with_filters(2)).eval()


def small_lm(seed: int) -> LMModel:
    torch.manual_seed(seed)
    return LMModel(32, 1024, dim=8, num_layers=1, past_context=262).eval()


@pytest.fixture(scope="module")
def made_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundled weights: a current model with its language model, and an older one."""
    folder = tmp_path_factory.mktemp("made") / "package"
    save_weights(narrow(1), folder)
    current = save_weights(narrow(2), folder)
    header = f"{NAME}:{current.stem[-8:]}"
    save_lm(small_lm(1), header, folder)
    lm = save_lm(small_lm(2), header, folder)
    checkpoints.write_index(folder, {NAME: (current, lm)})
    return folder


@pytest.fixture
def package(made_package: Path, tmp_path: Path) -> Path:
    """A copy of its own for each test."""
    return shutil.copytree(made_package, tmp_path / "package")


@pytest.fixture
def make(tmp_path: Path, package: Path, server: FileServer) -> Make:
    def registry(weights: str, **changes: object) -> Registry:
        options = {
            "cache_dir": tmp_path / "cache",
            "official_url": server.url,
            "hub_endpoint": server.url.rstrip("/"),
            "package": package,
        }
        return Registry(weights, **{**options, **changes})  # type: ignore[arg-type]

    return registry


@pytest.fixture
def published(server: FileServer, th24: Path, th_lm: Path, as_published: None) -> FileServer:
    """The server has the published files."""
    server.files = {f"/{path.name}": path.read_bytes() for path in (th24, th_lm)}
    return server


def test_bundled_follows_the_index(make: Make, package: Path) -> None:
    index = json.loads((package / "index.json").read_text())[NAME]
    found = make("bundled").find(NAME)
    assert (found.source, found.path.name) == ("bundled", index["model"])
    assert found.header_name == f"{NAME}:{found.id}"
    assert found.lm is not None
    assert found.lm.path.name == index["lm"]
    assert found.lm_header_name == f"{NAME}:{found.id}+{found.lm.id}"
    model = load_network(found, EncodecNetwork)
    assert (model.name, model.weights) == (found.header_name, "bundled")
    assert weights_id(state_of(model)) == found.id


def test_older_weights_and_language_models_stay_loadable(make: Make, package: Path) -> None:
    registry = make("bundled")
    current = registry.find(NAME)
    for path in package.glob(f"{NAME}-*.safetensors"):
        header = f"{NAME}:{path.stem[-8:]}"
        assert load_network(registry.find_exact(header), EncodecNetwork).name == header
        assert registry.find(header).path == path
    for path in package.glob("encodec_lm_24khz-*.safetensors"):
        found = registry.find_exact(f"{current.header_name}+{path.stem[-8:]}")
        assert found.lm is not None
        assert found.lm.path == path
        assert weights_id(state_of(load_lm(registry.fetch_lm(found)))) == path.stem[-8:]


def test_model_without_language_model(make: Make, package: Path) -> None:
    registry = make("bundled")
    other = next(p for p in package.glob(f"{NAME}-*") if p != registry.find(NAME).path)
    found = registry.find(f"{NAME}:{other.stem[-8:]}")
    assert (found.lm, found.lm_header_name) == (None, None)
    with pytest.raises(WeightsUnavailableError, match="no language model"):
        load_lm(registry.fetch_lm(found))


@pytest.mark.parametrize("weights", ["bundled", "auto", "official", "hf"])
def test_weights_that_are_not_here(weights: str, make: Make) -> None:
    registry = make(weights)
    with pytest.raises(WeightsUnavailableError, match=f"{NAME}:00000000"):
        registry.find_exact(f"{NAME}:00000000")
    lm_name = f"{registry.find_exact(make('bundled').find(NAME).header_name).header_name}+00000000"
    with pytest.raises(WeightsUnavailableError, match="language model"):
        registry.find_exact(lm_name)


def test_a_plain_header_never_gets_other_weights(make: Make, server: FileServer) -> None:
    for weights in ("bundled", "auto", "official", "hf"):
        with pytest.raises(WeightsUnavailableError):
            make(weights).find_exact(NAME)
    server.requests.clear()
    with pytest.raises(WeightsUnavailableError, match="published weights"):
        make("bundled").find_exact(NAME)
    assert server.requests == [], "bundled means no network"


@pytest.mark.parametrize(
    "name",
    ["encodec_44khz", "", f"{NAME}:", f"{NAME}:XYZ", f"{NAME}:123456789", "../x", f"{NAME}\n"],
)
def test_names_of_no_model(name: str, make: Make) -> None:
    with pytest.raises(UnknownModelError):
        make("bundled").find(name)
    with pytest.raises(UnknownModelError):
        make("bundled").find_exact(name)


def test_official_is_downloaded_once(
    make: Make, published: FileServer, th24: Path, tmp_path: Path
) -> None:
    registry = make("official")
    found = registry.find(NAME)
    assert (found.source, found.published, found.header_name) == ("official", True, NAME)
    assert found.path == tmp_path / "cache" / th24.name
    assert found.lm_header_name == NAME
    assert load_network(found, EncodecNetwork).name == NAME
    assert [path for _, path, _ in published.requests] == [f"/{th24.name}"], "no LM before its use"
    assert isinstance(load_lm(registry.fetch_lm(found)), LMModel)
    for weights in ("official", "auto"):
        load_lm(make(weights).fetch_lm(make(weights).find(NAME)))
        make(weights).find_exact(NAME)
    assert len(published.requests) == 2


def test_official_replaces_a_broken_file(
    make: Make, published: FileServer, th24: Path, tmp_path: Path
) -> None:
    cached = tmp_path / "cache" / th24.name
    cached.parent.mkdir()
    cached.write_bytes(b"broken")
    make("official").find(NAME)
    assert cached.read_bytes() == th24.read_bytes()


def test_official_that_is_the_wrong_file(
    make: Make, published: FileServer, th24: Path, tmp_path: Path
) -> None:
    published.files[f"/{th24.name}"] = b"something else"
    with pytest.raises(WeightsError, match=th24.name):
        make("official").find(NAME)
    assert list((tmp_path / "cache").iterdir()) == []
    assert make("auto").find(NAME).source == "bundled"


def test_auto_downloads(make: Make, published: FileServer) -> None:
    found = make("auto").find(NAME)
    assert (found.source, found.published, found.note) == ("official", True, None)


def test_auto_falls_back(make: Make, server: FileServer, caplog: pytest.LogCaptureFixture) -> None:
    registry = make("auto")
    with caplog.at_level(logging.WARNING):
        found = registry.find(NAME)
    assert found.source == "bundled"
    assert found.note is not None
    assert server.url in found.note
    assert found.note in caplog.text
    registry.find(NAME)
    assert len(server.requests) == 1, "the server is tried once"


def test_auto_gives_up_on_a_silent_server(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        found = make("auto", official_url=url, connect_seconds=0.3).find(NAME)
    assert found.source == "bundled"
    assert "0.3 s" in str(found.note) or "timed out" in str(found.note)


def test_a_cache_that_cannot_be_looked_at_holds_nothing(
    make: Make, published: FileServer, tmp_path: Path
) -> None:
    """As a home of another user's; a name that is too long is an error for root too."""
    cache = tmp_path / ("x" * 300)
    found = make("auto", cache_dir=cache).find(NAME)
    assert found.source == "bundled"
    assert "cannot be written" in str(found.note)
    with pytest.raises(WeightsUnavailableError):
        make("auto", cache_dir=cache).find_exact(f"{NAME}:00000000")
    assert make("auto", cache_dir=cache).find_exact(found.header_name) == replace(found, note=None)
    with pytest.raises(WeightsUnavailableError, match="too long"):
        make(str(cache))


def test_a_model_without_published_files(
    make: Make, package: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("model", "lm"):
        monkeypatch.delitem(weight_set.PUBLISHED_FILES, (NAME, kind))
    monkeypatch.delitem(hub.REPOSITORIES, NAME)
    server.status = 405
    for weights in ("official", "hf"):
        with pytest.raises(WeightsUnavailableError, match=f"{NAME}.* published"):
            make(weights).find(NAME)
    for weights in ("official", "hf", "auto", "bundled", str(package)):
        with pytest.raises(WeightsUnavailableError, match="published"):
            make(weights).find_exact(NAME)
    found = make("auto").find(NAME)
    assert (found.source, make(str(package)).find(NAME).id) == ("bundled", found.id)
    assert make("auto").fetch_lm(found) == found.lm


def test_a_damaged_copy_does_not_hide_the_bundled_weights(
    make: Make, package: Path, tmp_path: Path
) -> None:
    bundled = make("bundled").find(NAME)
    copy = tmp_path / "copy" / bundled.path.name
    copy.parent.mkdir()
    copy.write_bytes(bundled.path.read_bytes()[:1000])
    assert make(str(copy.parent)).find_exact(bundled.header_name).path == bundled.path
    assert bundled.lm is not None
    (copy.parent / bundled.lm.path.name).write_bytes(bundled.lm.path.read_bytes()[:1000])
    found = make(str(copy.parent)).find_exact(bundled.lm_header_name or "")
    assert found.lm is not None
    assert found.lm.path == bundled.lm.path


def test_auto_without_any_weights(make: Make) -> None:
    with pytest.raises(WeightsUnavailableError, match=r"encodec_48khz.*cannot be reached"):
        make("auto").find("encodec_48khz")


def test_published_file_in_a_folder(
    make: Make, as_published: None, th24: Path, th_lm: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(th24, folder)
    found = make(str(folder)).find(NAME)
    assert (found.source, found.published, found.lm) == ("folder", True, None)
    shutil.copy(th_lm, folder)
    found = make(str(folder)).find(NAME)
    assert found.header_name == found.lm_header_name == NAME
    assert load_network(found, EncodecNetwork).name == NAME
    assert make(str(folder)).find_exact(NAME) == found


def test_published_model_with_another_language_model(
    make: Make, as_published: None, th24: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(th24.parent, folder)
    lm = save_lm(small_lm(7), NAME, folder)
    registry = make(str(folder))
    found = registry.find(NAME)
    assert found.header_name == NAME
    assert found.lm_header_name == f"{NAME}:{found.id}+{lm.stem[-8:]}"
    assert registry.find_exact(str(found.lm_header_name)).path == found.path


def test_folder_is_found_whatever_the_setting_for_coding(make: Make, th24: Path) -> None:
    registry = make(str(th24.parent))
    bundled = make("bundled").find(NAME)
    assert registry.find_exact(bundled.header_name).path == bundled.path
    header = registry.find(NAME).header_name
    with pytest.raises(WeightsUnavailableError):
        make("bundled").find_exact(header)


def test_cache_is_searched_by_id(make: Make, th24: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    shutil.copy(th24, tmp_path / "cache")
    (tmp_path / "cache" / f"{NAME}-00000000.th").write_bytes(b"broken, to be passed by")
    header = make(str(th24.parent)).find(NAME).header_name
    assert make("bundled").find_exact(header).id == header[-8:]


def test_ids_are_read_once(
    make: Make, th24: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def counting(path: Path) -> StateDict:
        read.append(path)
        return read_state(path)

    monkeypatch.setattr("model_core.checkpoints.read.read_state", counting)
    registry = make(str(shutil.copytree(th24.parent, tmp_path / "copy")))
    for _ in range(3):
        registry.find_exact(registry.find(NAME).header_name)
    assert len(read) == 1


def test_folder_with_several_weights(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "several"
    paths = [save_weights(narrow(seed), folder) for seed in (5, 6)]
    registry = make(str(folder))
    with pytest.raises(WeightsError, match="several weights"):
        registry.find(NAME)
    checkpoints.write_index(folder, {NAME: (paths[0], None)})
    assert registry.find(NAME).path == paths[0]
    assert registry.find(f"{NAME}:{paths[1].stem[-8:]}").path == paths[1]


@pytest.mark.parametrize("entry", [{"model": "../../etc/passwd"}, {"model": 3}, {"lm": None}])
def test_index_that_is_wrong(entry: object, make: Make, package: Path) -> None:
    (package / "index.json").write_text(json.dumps({NAME: entry}))
    with pytest.raises(WeightsError, match=r"index\.json"):
        make("bundled").find(NAME)


def test_index_that_names_a_file_without_saying_what_for(make: Make, package: Path) -> None:
    """Not even a good one: whether a language model goes with it would be a guess."""
    for entry in (make("bundled").find(NAME).path.name, 3):
        (package / "index.json").write_text(json.dumps({NAME: entry}))
        with pytest.raises(WeightsError, match=r"index\.json: .* is not an object"):
            make("bundled").find(NAME)


def test_what_lies_beside_weights_does_not_keep_them_from_decoding(
    make: Make, tmp_path: Path
) -> None:
    """Two language models to choose from, a broken one, somebody else's model folder."""
    folder = tmp_path / "crowded"
    weights = save_weights(narrow(3), folder)
    header = f"{NAME}:{weights.stem[-8:]}"
    lms = [save_lm(small_lm(seed), header, folder) for seed in (1, 2)]
    registry = make(str(folder))
    with pytest.raises(WeightsError, match="several language models"):
        registry.find(NAME)
    assert registry.find_exact(header).path == weights
    named = registry.find_exact(f"{header}+{lms[1].stem[-8:]}")
    assert named.lm is not None
    assert named.lm.path == lms[1]
    lms[0].write_bytes(b"broken")
    assert registry.find_exact(header).path == weights
    (folder / "config.json").write_text('{"model_type": "bert"}')
    (folder / "model.safetensors").write_bytes(b"no tensors")
    assert registry.find_exact(header).path == weights


def test_index_that_cannot_be_added_to(package: Path) -> None:
    (package / "index.json").write_text("[")
    with pytest.raises(WeightsError, match=r"index\.json: not JSON"):
        checkpoints.write_index(package, {NAME: (package / "a", None)})


def test_index_that_names_a_missing_file(make: Make, package: Path) -> None:
    make("bundled").find(NAME).path.unlink()
    with pytest.raises(WeightsError, match="is not there"):
        make("bundled").find(NAME)


def test_neither_a_word_nor_a_folder(make: Make, tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailableError, match="is none of them"):
        make(str(tmp_path / "nowhere"))
    with pytest.raises(WeightsUnavailableError, match="is none of them"):
        make("~nobody-of-that-name/weights")
    with pytest.raises(WeightsUnavailableError, match=f"holds no weights for {NAME}"):
        make(str(tmp_path)).find(NAME)


def test_environment(
    monkeypatch: pytest.MonkeyPatch, th24: Path, tmp_path: Path, as_published: None
) -> None:
    monkeypatch.setenv("ENCODEC_WEIGHTS", "official")
    monkeypatch.setenv("ENCODEC_CACHE_DIR", str(th24.parent))
    assert load_model(NAME).name == NAME
    monkeypatch.setenv("ENCODEC_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsUnavailableError):
        Registry().find(NAME)


def test_further_folders_are_for_headers_alone(
    make: Make, tmp_path: Path, th24: Path, th_lm: Path, as_published: None
) -> None:
    folder = tmp_path / "elsewhere"
    header = f"{NAME}:{save_weights(narrow(8), folder).stem[-8:]}"
    registry = make("bundled", also=[folder, tmp_path / "gone", th24.parent])
    assert registry.find_exact(header).path.parent == folder
    assert registry.find_exact(NAME).path == th24
    assert registry.find(NAME) == make("bundled").find(NAME)
    with pytest.raises(WeightsUnavailableError):
        make("bundled").find_exact(header)


def hub_files(server: FileServer, model: EncodecModel, name: str, folder: Path) -> None:
    save_hub_form(model, folder, "weight_g")
    for path in folder.iterdir():
        server.files[f"/facebook/{name}/resolve/main/{path.name}"] = path.read_bytes()
    server.headers = {"X-Repo-Commit": "0" * 40}


def test_hub(make: Make, server: FileServer, tmp_path: Path) -> None:
    torch.manual_seed(3)
    model = EncodecModel(CONFIGS["encodec_48khz"])
    hub_files(server, model, "encodec_48khz", tmp_path / "hub")
    registry = make("hf")
    found = registry.find("encodec_48khz")
    assert (found.source, found.published, found.lm) == ("hf", True, None)
    loaded = load_network(found, EncodecNetwork)
    assert loaded.name == "encodec_48khz"
    assert weights_id(state_of(loaded)) == weights_id(state_of(model))
    server.requests.clear()
    assert make("hf").find("encodec_48khz") == found
    assert make("bundled").find_exact("encodec_48khz") == found
    assert server.requests == []


def test_hub_that_has_it_not(make: Make, server: FileServer) -> None:
    with pytest.raises(WeightsUnavailableError, match="facebook/encodec_48khz"):
        make("hf").find("encodec_48khz")
