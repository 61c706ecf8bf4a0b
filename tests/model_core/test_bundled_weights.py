"""The weights in the package: there, small, described, and codecs rather than noise."""

import json
import re
from pathlib import Path

import pytest
import torch

from model_core import compress, decompress
from model_core.checkpoints import Registry
from model_core.checkpoints.load import load_lm, load_network
from model_core.checkpoints.read import read_own_lm
from model_core.checkpoints.registry import PACKAGE_WEIGHTS
from model_core.checkpoints.weight_set import FileName
from model_core.metrics import log_mel_distance, si_snr
from model_core.model import load_model
from model_core.nn.network import EncodecNetwork
from tests.peers import NAMES, signal

MOST = 130 * 10**6  # bytes, all together
RELEASED = re.compile(r"encodec_(?:lm_)?\d+khz-[0-9a-f]{8}\.safetensors")


def test_they_are_small_and_every_model_has_some() -> None:
    index = json.loads((PACKAGE_WEIGHTS / "index.json").read_text())
    assert set(index) == set(NAMES)
    files = list(PACKAGE_WEIGHTS.glob("*.safetensors"))
    assert sum(file.stat().st_size for file in files) <= MOST


def test_what_the_card_names_is_there_and_nothing_else() -> None:
    """The card lists every file that a release has had: none may be taken away."""
    card = (PACKAGE_WEIGHTS / "README.md").read_text()
    released = set(RELEASED.findall(card))
    assert released == {file.name for file in PACKAGE_WEIGHTS.glob("*.safetensors")}


@pytest.mark.parametrize(
    "file", sorted(PACKAGE_WEIGHTS.glob("*.safetensors")), ids=lambda p: p.name
)
def test_every_release_loads_by_its_id(file: Path) -> None:
    registry = Registry("bundled")
    named = FileName.parse(file.name)
    assert named is not None
    if named.kind == "model":
        found = registry.find_exact(f"{named.name}:{named.hex}")
        assert found.path == file
        assert load_network(found, EncodecNetwork).name == found.header_name
        return
    _, owner = read_own_lm(file)
    assert owner is not None
    found = registry.find_exact(f"{owner}+{named.hex}")
    assert found.source == "bundled", "the weights it was made for are released too"
    assert found.lm is not None
    assert found.lm.path == file
    load_lm(registry.fetch_lm(found))


@pytest.mark.parametrize("name", NAMES)
def test_they_follow_the_signal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tones and bursts of noise that nobody trained on come back as themselves, and more bits
    bring them nearer."""
    monkeypatch.setenv("ENCODEC_WEIGHTS", "bundled")
    model = load_model(name)
    assert model.name == f"{name}:{Registry('bundled').find(name).id}"
    x = signal(model.channels, 3 * model.sample_rate, model.sample_rate, seed=21)
    ratios, distances = [], []
    for bandwidth in (model.target_bandwidths[0], model.target_bandwidths[-1]):
        model.set_target_bandwidth(bandwidth)
        y, rate = decompress(compress(model, x))
        assert rate == model.sample_rate
        assert y.shape == x.shape
        ratios.append(float(si_snr(x, y).mean()))
        distances.append(float(log_mel_distance(x, y, rate).mean()))
    assert ratios[0] < ratios[1] > 1
    assert 15 > distances[0] > distances[1]


@pytest.mark.parametrize("name", NAMES)
def test_every_codebook_is_used(name: str) -> None:
    model = load_model(name, "bundled")
    x = signal(model.channels, 10 * model.sample_rate, model.sample_rate, seed=22)[None]
    with torch.no_grad():
        frames = model.encode(x)
    codes = torch.cat([codes[0] for codes, _ in frames], dim=1)
    for row in codes:
        assert len(row.unique()) > 60
