"""The trainer learns, goes on where it stopped, and what it makes can be served."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from model_core import checkpoints
from model_core.config import ENCODEC_24KHZ
from model_core.errors import WeightsError
from model_core.training.data import AudioCache
from model_core.training.export import load_run
from model_core.training.trainer import Trainer, TrainingConfig
from tests.peers import signal


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    rate = ENCODEC_24KHZ.sample_rate
    samples = (signal(1, 6 * rate, rate).numpy() * 32767).astype(np.int16)
    np.save(folder / "audio.npy", samples)
    entries = [
        {"file": "a", "category": "speech", "split": "train", "start": 0, "length": 4 * rate},
        {
            "file": "b",
            "category": "speech",
            "split": "valid",
            "start": 4 * rate,
            "length": 2 * rate,
        },
    ]
    (folder / "index.json").write_text(json.dumps(entries))
    return folder


def _config(minutes: float, quantise_from: float = 1.0) -> TrainingConfig:
    return TrainingConfig(
        model="encodec_24khz",
        n_filters=4,
        batch=2,
        clip_seconds=0.2,
        minutes=minutes,
        quantise_from=quantise_from,
        kmeans_frames=1500,
        speech=1.0,
        music=0.0,
        environment=0.0,
    )


def test_the_loss_falls_and_a_run_resumes(cache: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    trainer = Trainer(_config(0.1), cache, run)
    first = float(trainer._train_step()["mel"])
    losses = [float(trainer._train_step()["mel"]) for _ in range(25)]
    assert np.mean(losses[-5:]) < 0.8 * first
    trainer.step = 26
    trainer.save()
    resumed = Trainer(_config(0.1), cache, run)
    assert resumed.step == 26
    for a, b in zip(trainer.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(trainer.sampler.batch(2), resumed.sampler.batch(2))
    with pytest.raises(WeightsError):
        load_run(run)


def test_a_finished_run_becomes_a_checkpoint(cache: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    trainer = Trainer(_config(0.001, quantise_from=0.0), cache, run)
    trainer.run()
    assert trainer.quantising
    path = checkpoints.save_weights(load_run(run).model, tmp_path / "weights")
    model = checkpoints.load_model("encodec_24khz", str(path.parent))
    model.set_target_bandwidth(6.0)
    x = AudioCache(cache).read(trainer.cache.recordings[1], 0, 24_000)[None]
    codes = model.encode(x)[0][0]
    assert codes.shape == (1, 8, 75)
    assert len(codes.unique()) > 20
