"""A run that was packed and unpacked goes on as if it had not been, within noise."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model_core.checkpoints.files import read_metadata, read_safetensors
from model_core.config import config_of
from model_core.errors import SettingsError, WeightsError
from model_core.model import EncodecModel
from model_core.training.carry.command import pack, unpack
from model_core.training.carry.contents import packed, unpacked
from model_core.training.carry.parts import LARGEST, write_parts
from model_core.training.cli import main
from model_core.training.codec.adversary import Adversary
from model_core.training.codec.settings import CodecSettings
from model_core.training.codec.trainer import CodecTrainer
from model_core.training.data.cache import AudioCache
from model_core.training.lm.export import export_lm
from model_core.training.lm.settings import LMTrainingConfig
from model_core.training.lm.trainer import BEST, LMTrainer
from model_core.training.source import load_run
from model_core.training.state import STATE, load_state, save_state
from tests.model_core.training.lm.fixtures import small_cache, small_weights

NAME = "encodec_24khz"
SETTINGS = CodecSettings(
    n_filters=4,
    steps=1000,
    batch=3,
    clip_seconds=0.1,
    augment="none",
    learning_rate=1e-3,
    kmeans_frames=70,
    quantise_from=0.01,
    adversary_from=0.03,
    adversary_filters=2,
    adversarial_weight=0.5,
    warmup_steps=5,
    average_decay=0.9,
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> AudioCache:
    folder = small_cache(NAME, tmp_path_factory.mktemp("cache") / "c")
    return AudioCache(folder, sample_rate=24_000)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What language models are trained for."""
    return small_weights(NAME, tmp_path_factory.mktemp("weights") / "w")


@pytest.fixture(scope="module")
def begun(cache: AudioCache, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 40 steps, the last 10 of them with discriminators."""
    run = tmp_path_factory.mktemp("begun") / "run"
    trainer = CodecTrainer(SETTINGS, cache, run)
    for _ in range(40):
        trainer.train_step()
    trainer.spent = 12.5
    trainer.save()
    return run


@pytest.fixture
def carried(begun: Path, tmp_path: Path) -> Path:
    unpack(pack(begun, tmp_path / "parts"), tmp_path / "carried")
    return tmp_path / "carried"


def continued(settings: CodecSettings, cache: AudioCache, run: Path) -> dict[str, float]:
    """Means of what the next 24 steps see."""
    trainer = CodecTrainer(settings, cache, run)
    seen = [trainer.train_step() for _ in range(24)]
    names = {name for values in seen for name in values}
    return {n: float(np.mean([float(values[n]) for values in seen if n in values])) for n in names}


def test_losses_go_on_within_noise(
    begun: Path, carried: Path, cache: AudioCache, tmp_path: Path
) -> None:
    shutil.copytree(begun, tmp_path / "stayed")
    stayed = continued(SETTINGS, cache, tmp_path / "stayed")
    went = continued(SETTINGS, cache, carried)
    for name in ("mel", "time", "commitment", "adversarial", "feature", "discriminator"):
        assert went[name] == pytest.approx(stayed[name], rel=0.1), name
    early = CodecTrainer(SETTINGS, cache, tmp_path / "early")
    assert stayed["mel"] < 0.8 * float(early.train_step()["mel"])  # it had learnt something


def test_what_travels_is_there(begun: Path, carried: Path, cache: AudioCache) -> None:
    before, after = load_state(begun / STATE), load_state(carried / STATE)
    for key in ("config", "step", "spent", "quantising", "balancer", "kind"):
        assert after[key] == before[key]
    for name, tensor in before["model"].items():
        if name.endswith(("inited", "cluster_size")):
            assert torch.equal(after["model"][name], tensor)
        elif not name.endswith("embed_avg"):
            assert torch.equal(after["model"][name], tensor.half().float()), name
        else:
            torch.testing.assert_close(after["model"][name], tensor, rtol=2e-3, atol=1e-4)
    for name, tensor in before["adversary"]["discriminator"].items():
        assert torch.equal(after["adversary"]["discriminator"][name], tensor.half().float())
    for name, tensor in after["average"].items():
        assert torch.equal(tensor, after["model"][name])
    assert load_run(carried).step == 40  # it can be exported as it is


def test_the_rate_warms_up_again(carried: Path, cache: AudioCache) -> None:
    trainer = CodecTrainer(SETTINGS, cache, carried)
    rates = [float(trainer.train_step()["rate"]) for _ in range(6)]
    shares = [rate / SETTINGS.learning_rate for rate in rates]
    assert shares == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])
    trainer.save()
    assert CodecTrainer(SETTINGS, cache, carried).warm_from == 40


def test_of_a_run_that_has_ended_the_averaged_weights_travel(begun: Path, tmp_path: Path) -> None:
    before = load_state(begun / STATE)
    name = "decoder.model.15.conv.conv.bias"
    assert not torch.equal(before["average"][name], before["model"][name])
    for ends, kept in (({"steps": 40}, "average"), ({"minutes": 0.2}, "average"), ({}, "model")):
        tensors, _ = packed(before | {"config": before["config"] | ends})
        assert torch.equal(tensors[f"weights.{name}"], before[kept][name].half())


def test_before_codebooks_and_discriminators(cache: AudioCache, tmp_path: Path) -> None:
    trainer = CodecTrainer(SETTINGS, cache, tmp_path / "run")
    trainer.train_step()
    trainer.save()
    unpack(pack(tmp_path / "run", tmp_path), tmp_path / "carried")
    state = load_state(tmp_path / "carried" / STATE)
    assert state["adversary"] is None
    assert not state["quantising"]
    trainer = CodecTrainer(SETTINGS, cache, tmp_path / "carried")
    for _ in range(12):  # the codebooks start now
        trainer.train_step()
    assert trainer.quantising


def test_at_full_width_it_is_three_parts(tmp_path: Path) -> None:
    settings = CodecSettings()
    config = config_of(settings.model)
    model = EncodecModel(config)
    for layer in model.quantizer.codebooks:
        layer.codebook.embed.normal_()
    state = {
        "kind": "codec",
        "config": asdict(settings),
        "step": 1,
        "spent": 0.0,
        "quantising": True,
        "balancer": {},
        "model": model.state_dict(),
        "adversary": Adversary(config, settings.adversary_filters).state_dict(),
    }
    paths = write_parts(*packed(state), tmp_path, "carry")
    sizes = [path.stat().st_size / 2**20 for path in paths]
    assert len(sizes) == 3
    assert max(sizes) < 15
    assert sum(sizes) == pytest.approx(38, abs=1.5)
    assert LARGEST < 15 * 2**20


def test_the_commands(begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["carry", "pack", str(begun), str(tmp_path / "out")]) == 0
    parts = capsys.readouterr().out.split()
    assert [Path(part).name for part in parts] == ["carry-40-1-of-1.safetensors"]
    run = tmp_path / "run"
    assert main(["carry", "unpack", *parts, str(run)]) == 0
    assert "step 40" in capsys.readouterr().out
    assert main(["carry", "unpack", *parts, str(run)]) == 1
    assert "holds a run already" in capsys.readouterr().err
    assert main(["carry", "pack", str(tmp_path), str(tmp_path / "out")]) == 1
    assert STATE in capsys.readouterr().err


def test_a_state_of_another_network_is_refused(begun: Path, tmp_path: Path) -> None:
    tensors, described = packed(load_state(begun / STATE))
    where = tmp_path / "part"

    def refused(match: str, error: type[Exception] = WeightsError, **changes: Any) -> None:
        with pytest.raises(error, match=match):
            unpacked(tensors | changes.pop("tensors", {}), described | changes, where)

    name = "weights.encoder.model.0.conv.conv.bias"
    refused("of another shape", tensors={name: torch.zeros(5)})
    refused("unexpected", tensors={"weights.more": torch.zeros(5)})
    refused("unexpected", tensors={"other": torch.zeros(5)})
    refused("not finite", tensors={name: torch.full((4,), float("nan"))})
    refused("floating", tensors={name: torch.zeros(4, dtype=torch.long)})
    refused("kind", kind="other")
    refused("says", more=1)
    refused("settings", SettingsError, config={"width": 3})
    refused("n_filters", SettingsError, config=described["config"] | {"n_filters": 0})
    refused("of another shape", config=described["config"] | {"n_filters": 8})
    with pytest.raises(WeightsError, match="missing"):
        unpacked({n: t for n, t in tensors.items() if n != name}, described, where)


def test_values_out_of_range_are_refused(begun: Path) -> None:
    state = load_state(begun / STATE)
    state["model"]["encoder.model.0.conv.conv.bias"][0] = 1e6
    with pytest.raises(WeightsError, match="float16"):
        packed(state)


def test_a_language_models_run_travels_too(
    weights: Path, cache: AudioCache, tmp_path: Path
) -> None:
    settings = LMTrainingConfig(
        weights=str(weights),
        dim=16,
        layers=1,
        steps=400,
        batch=2,
        sequence_seconds=1.0,
        bandwidths={"1.5": 1.0, "6": 1.0},
        passes=1,
        warmup_steps=5,
    )
    trainer = LMTrainer(settings, cache, tmp_path / "run")
    for _ in range(15):
        trainer.train_step()
    trainer.save()
    state = load_state(tmp_path / "run" / "state.pt")
    assert state["recordings"] == packed(state)[1]["recordings"]
    parts = pack(tmp_path / "run", tmp_path / "parts")
    assert "lm" in read_metadata(parts[0])["label"]
    unpack(parts, tmp_path / "carried")
    shutil.copytree(tmp_path / "run" / "codes", tmp_path / "carried" / "codes")
    means = []
    for run in ("run", "carried"):
        trainer = LMTrainer(settings, cache, tmp_path / run)
        assert trainer.step == 15
        seen = [trainer.train_step() for _ in range(10)]
        means.append(np.mean([float(next(iter(values.values()))) for values in seen]))
    assert means[1] == pytest.approx(means[0], rel=0.02)


def test_of_a_language_model_the_best_weights_travel(
    weights: Path, cache: AudioCache, tmp_path: Path
) -> None:
    settings = LMTrainingConfig(
        weights=str(weights), dim=16, layers=1, steps=3, batch=2, sequence_seconds=1.0, passes=1
    )
    trainer = LMTrainer(settings, cache, tmp_path / "run")
    trainer.best = 0.1  # no evaluation of the run will be as good
    best = {name: x.half().float() + 0.25 for name, x in trainer.average.tensors.items()}
    save_state(trainer._described() | {"average": best}, tmp_path / "run" / BEST)
    assert trainer.run()
    unpack(pack(tmp_path / "run", tmp_path / "parts"), tmp_path / "carried")
    there = export_lm(tmp_path / "run", tmp_path / "there")
    here = export_lm(tmp_path / "carried", tmp_path / "here")
    found = read_safetensors(here)
    for name, values in read_safetensors(there).items():
        np.testing.assert_allclose(found[name], values, 2e-3, 2e-3)
