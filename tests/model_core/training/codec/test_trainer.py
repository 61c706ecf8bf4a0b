"""The trainer learns, resumes exactly, and what it makes can be served."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from model_core.config import ENCODEC_24KHZ
from model_core.errors import SettingsError
from model_core.training.codec.settings import CodecSettings
from model_core.training.codec.trainer import CodecTrainer
from model_core.training.data.cache import AudioCache
from model_core.training.log import LOG, RunLog
from model_core.training.state import STATE, load_state
from tests.peers import signal

RATE = ENCODEC_24KHZ.sample_rate

SETTINGS = CodecSettings(
    n_filters=2,
    steps=10,
    batch=2,
    clip_seconds=0.1,
    kmeans_frames=30,
    quantise_from=0.2,
    adversary_from=0.6,
    adversary_filters=2,
    warmup_steps=2,
    save_every=1000,
    evaluate_every=1000,
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> AudioCache:
    folder = tmp_path_factory.mktemp("cache")
    samples = (signal(1, 6 * RATE, RATE).numpy() * 32767).astype(np.int16)
    np.save(folder / "audio.npy", samples)
    places = [("a", "train", 0, 4), ("b", "valid", 4, 2)]
    entries = [
        {"file": f, "category": "speech", "split": s, "start": at * RATE, "length": n * RATE}
        for f, s, at, n in places
    ]
    (folder / "index.json").write_text(json.dumps(entries))
    return AudioCache(folder, sample_rate=RATE)


def flat(value: object, path: str = "") -> dict[str, object]:
    """All leaves of nested dicts and lists by their path."""
    if isinstance(value, dict):
        items = [(str(k), v) for k, v in value.items()]
    elif isinstance(value, list | tuple):
        items = [(str(i), v) for i, v in enumerate(value)]
    else:
        return {path: value}
    return {k: v for name, item in items for k, v in flat(item, f"{path}/{name}").items()}


def test_the_loss_falls(cache: AudioCache, tmp_path: Path) -> None:
    settings = replace(
        SETTINGS,
        n_filters=4,
        steps=60,
        clip_seconds=0.2,
        quantise_from=1.0,
        adversary_from=1.0,
        learning_rate=1e-3,
        augment="none",
    )
    trainer = CodecTrainer(settings, cache, tmp_path / "run")
    losses = [float(trainer.train_step()["mel"]) for _ in range(20)]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:2])


def test_five_steps_and_five_more_are_ten(cache: AudioCache, tmp_path: Path) -> None:
    """Through all phases: quantiser from step 2, discriminators from step 6; stopped at 5."""
    whole = CodecTrainer(SETTINGS, cache, tmp_path / "whole")
    for _ in range(10):
        whole.train_step()
    whole.save()
    first = CodecTrainer(SETTINGS, cache, tmp_path / "parts")
    for _ in range(5):
        first.train_step()
    first.save()
    torch.manual_seed(99)  # whatever happened in between
    second = CodecTrainer(SETTINGS, cache, tmp_path / "parts")
    assert second.step == 5
    for _ in range(2):
        second.train_step()
    second.save()
    third = CodecTrainer(SETTINGS, cache, tmp_path / "parts")  # now with discriminators
    for _ in range(3):
        third.train_step()
    third.save()

    expected = flat(load_state(tmp_path / "whole" / STATE))
    found = flat(load_state(tmp_path / "parts" / STATE))
    assert expected.keys() == found.keys()
    assert any("adversary/" in name for name in expected)
    for name, value in expected.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, found[name]), name  # type: ignore[arg-type]
        elif name != "/spent":
            assert value == found[name], name


def test_the_discriminators_rate_falls_with_the_codecs(cache: AudioCache, tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=4, adversary_from=0.0, adversary_rate=2e-4)
    trainer = CodecTrainer(settings, cache, tmp_path / "run")
    for _ in range(4):
        share = trainer.train_step()["rate"] / settings.learning_rate
        adversary = trainer.learn.adversary
        assert adversary is not None
        rates = [group["lr"] for group in adversary.optimizer.param_groups]
        assert rates == pytest.approx([2e-4 * share])
    assert share < 0.6


def test_other_seeds_learn_something_else(cache: AudioCache, tmp_path: Path) -> None:
    a = CodecTrainer(SETTINGS, cache, tmp_path / "a").train_step()
    b = CodecTrainer(replace(SETTINGS, seed=2), cache, tmp_path / "b").train_step()
    assert a["mel"] != b["mel"]


def test_a_run_stops_saves_evaluates_and_logs(cache: AudioCache, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = replace(SETTINGS, log_every=3, evaluate_every=5)
    assert CodecTrainer(settings, cache, run).run(stop_after=0.0) is False
    assert load_state(run / STATE)["step"] == 0
    assert CodecTrainer(settings, cache, run).run() is True
    assert load_state(run / STATE)["step"] == 10
    lines = [json.loads(line) for line in (run / LOG).read_text().splitlines()]
    trained = [line for line in lines if "train/mel" in line]
    assert [line["step"] for line in trained] == [3, 6, 9]
    assert {"train/time", "train/commitment", "train/si_snr", "train/rate"} <= trained[0].keys()
    assert "train/adversarial" in trained[-1]
    assert "train/adversarial" not in trained[0]
    judged = [line for line in lines if "valid/si_snr/speech" in line]
    assert [line["step"] for line in judged] == [5, 10, 10]
    assert all(np.isfinite(line["valid/mel_distance/speech"]) for line in judged)


def test_a_run_that_stops_for_its_time_is_judged_there(cache: AudioCache, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = replace(SETTINGS, steps=10**6, quantise_from=1.0, adversary_from=1.0)
    assert CodecTrainer(settings, cache, run).run(stop_after=0.5) is False
    step = load_state(run / STATE)["step"]
    lines = [json.loads(line) for line in (run / LOG).read_text().splitlines()]
    assert [line["step"] for line in lines if "valid/si_snr/speech" in line] == [step]
    assert step > 0


def test_a_run_that_was_killed_logs_each_step_once(cache: AudioCache, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = replace(SETTINGS, steps=8, log_every=1, save_every=4, adversary_from=1.0)
    killed = CodecTrainer(settings, cache, run)
    log = RunLog(run, 8, 0)
    for _ in range(6):
        killed._report(log, killed.train_step())
    log.close()
    trainer = CodecTrainer(settings, cache, run)
    assert trainer.step == 4
    trainer.run()
    lines = [json.loads(line) for line in (run / LOG).read_text().splitlines()]
    assert [line["step"] for line in lines if "train/mel" in line] == list(range(1, 9))


def test_a_run_can_be_told_by_the_clock(cache: AudioCache, tmp_path: Path) -> None:
    trainer = CodecTrainer(replace(SETTINGS, minutes=0.05), cache, tmp_path / "run")
    assert trainer.run() is True
    assert trainer.progress >= 1
    assert trainer.quantising


def test_another_network_does_not_go_on_in_the_same_folder(
    cache: AudioCache, tmp_path: Path
) -> None:
    CodecTrainer(SETTINGS, cache, tmp_path / "run").save()
    with pytest.raises(SettingsError, match="n_filters"):
        CodecTrainer(replace(SETTINGS, n_filters=8), cache, tmp_path / "run")


def test_other_discriminators_do_not_go_on_once_they_have_started(
    cache: AudioCache, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, adversary_from=0.0)
    CodecTrainer(settings, cache, tmp_path / "run").save()
    trainer = CodecTrainer(replace(settings, adversary_filters=3), cache, tmp_path / "run")
    trainer.train_step()
    trainer.save()
    with pytest.raises(SettingsError, match="adversary_filters"):
        CodecTrainer(settings, cache, tmp_path / "run")


def test_low_precision_learns_too(cache: AudioCache, tmp_path: Path) -> None:
    settings = replace(SETTINGS, precision="bfloat16", quantise_from=0.0, adversary_from=0.0)
    trainer = CodecTrainer(settings, cache, tmp_path / "run")
    seen = [trainer.train_step() for _ in range(3)][-1]
    assert all(np.isfinite(float(value)) for value in seen.values())
    assert next(trainer.model.parameters()).dtype == torch.float32


def test_low_precision_leaves_out_lstms_and_the_waveform(cache: AudioCache, tmp_path: Path) -> None:
    trainer = CodecTrainer(replace(SETTINGS, precision="bfloat16"), cache, tmp_path / "run")
    types: dict[str, torch.dtype] = {}

    def see(name: str, output: torch.Tensor | tuple[torch.Tensor, object]) -> None:
        types[name] = (output[0] if isinstance(output, tuple) else output).dtype

    for name, part in trainer.model.named_modules():
        if isinstance(part, nn.LSTM | nn.Conv1d | nn.ConvTranspose1d):
            part.register_forward_hook(lambda _, __, output, name=name: see(name, output))
    trainer.train_step()
    full = {name for name, dtype in types.items() if dtype == torch.float32}
    assert full == {"encoder.model.13.lstm", "decoder.model.1.lstm", "decoder.model.15.conv.conv"}
    assert set(types.values()) == {torch.float32, torch.bfloat16}
