"""Weights that were released stay loadable by their id when better ones have come."""

import io
from pathlib import Path

import pytest
import torch

from model_core.checkpoints import Registry
from model_core.checkpoints.load import load_lm, load_network
from model_core.codec import Codec
from model_core.compress import compress, decompress
from model_core.ecdc import read_header
from model_core.model import load_model
from model_core.nn.network import EncodecNetwork
from tests.peers import signal
from tests.releases import NAME, release_first, release_next


def test_the_index_moves_on_and_headers_do_not(tmp_path: Path) -> None:
    package = tmp_path / "package"
    releases = [release_first(package), release_next(package)]
    registry = Registry("bundled", package=package, cache_dir=tmp_path / "cache")
    current = registry.find(NAME)
    assert (current.header_name, current.lm_header_name) == (releases[1].model, releases[1].lm)
    for release in releases:
        found = registry.find_exact(release.model)
        assert found.path.name == f"{NAME}-{release.weights}.safetensors"
        assert found.lm_header_name == release.lm, "each with its own language model"
        assert registry.find_exact(release.lm) == found
        assert load_network(found, EncodecNetwork).name == release.model
        load_lm(registry.fetch_lm(found))
    elsewhere = Registry(str(tmp_path), package=package, cache_dir=tmp_path / "cache")
    assert elsewhere.find_exact(releases[0].lm).lm_header_name == releases[0].lm


@pytest.mark.parametrize("lm", [False, True])
def test_older_files_decode_as_before(
    lm: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENCODEC_WEIGHTS", str(tmp_path))
    first = release_first(tmp_path)
    x = signal(1, 6_000, 24_000)
    model = load_model(NAME)
    model.set_target_bandwidth(3.0)
    file = compress(model, x, use_lm=lm)
    assert read_header(io.BytesIO(file)).model == (first.lm if lm else first.model)
    expected, _ = decompress(file)
    second = release_next(tmp_path)
    assert Codec.load(NAME).name == second.model
    old = Codec.load(first.lm if lm else first.model, exact=True)
    assert (old.name, old.lm_name) == (first.model, first.lm)
    again, _ = decompress(file)
    assert torch.equal(again, expected)
    newer = load_model(NAME)
    newer.set_target_bandwidth(3.0)
    other, _ = decompress(compress(newer, x, use_lm=lm))
    assert not torch.equal(other, expected)
