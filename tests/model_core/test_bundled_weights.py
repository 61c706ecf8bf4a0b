"""The weights in the package: there, small, described, and codecs rather than noise."""

import json

import pytest
import torch

from model_core import compress, decompress
from model_core.checkpoints import Registry, load_model
from model_core.checkpoints.registry import PACKAGE_WEIGHTS
from model_core.metrics import si_snr
from tests.peers import NAMES, signal

MOST = 40 * 10**6  # bytes, all together


def test_they_are_small_and_described() -> None:
    index = json.loads((PACKAGE_WEIGHTS / "index.json").read_text())
    assert set(index) == set(NAMES)
    files = list(PACKAGE_WEIGHTS.glob("*.safetensors"))
    assert sum(file.stat().st_size for file in files) <= MOST
    card = (PACKAGE_WEIGHTS / "README.md").read_text()
    for file in files:
        assert file.stem in card


@pytest.mark.parametrize("name", NAMES)
def test_they_follow_the_signal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tones and bursts of noise that nobody trained on come back as themselves, and more bits
    bring them nearer."""
    monkeypatch.setenv("ENCODEC_WEIGHTS", "bundled")
    model = load_model(name)
    assert model.name == f"{name}:{Registry('bundled').find(name).id}"
    x = signal(model.channels, 3 * model.sample_rate, model.sample_rate, seed=21)
    ratios = []
    for bandwidth in (model.target_bandwidths[0], model.target_bandwidths[-1]):
        model.set_target_bandwidth(bandwidth)
        y, rate = decompress(compress(model, x))
        assert rate == model.sample_rate
        assert y.shape == x.shape
        ratios.append(float(si_snr(x, y).mean()))
    assert 0 < ratios[0] < ratios[1]


@pytest.mark.parametrize("name", NAMES)
def test_every_codebook_is_used(name: str) -> None:
    model = load_model(name, "bundled")
    x = signal(model.channels, 10 * model.sample_rate, model.sample_rate, seed=22)[None]
    with torch.no_grad():
        frames = model.encode(x)
    codes = torch.cat([codes[0] for codes, _ in frames], dim=1)
    for row in codes:
        assert len(row.unique()) > 60
