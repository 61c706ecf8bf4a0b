"""A language model learns, goes on where it stopped, and what it makes codes files."""

import argparse
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model_core.checkpoints import Registry
from model_core.checkpoints.load import load_network
from model_core.checkpoints.read import read_own_lm
from model_core.checkpoints.save import save_hub, save_weights
from model_core.codec import Codec
from model_core.compress import compress, decompress
from model_core.ecdc import read_header
from model_core.errors import (
    SettingsError,
    TrainingDataError,
    WeightsError,
    WeightsUnavailableError,
)
from model_core.model import load_model
from model_core.nn.network import EncodecNetwork
from model_core.training.data.cache import AudioCache
from model_core.training.lm import command as lm_command
from model_core.training.lm.evaluation import bits_per_code
from model_core.training.lm.export import export_lm
from model_core.training.lm.settings import LMTrainingConfig
from model_core.training.lm.trainer import BEST, LMTrainer
from model_core.training.log import RunLog
from model_core.training.settings import SETTINGS
from model_core.training.state import STATE, load_state, save_state
from tests.model_core.training.lm.fixtures import small_cache, small_weights

NAME = "encodec_24khz"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small weights and a cache."""
    folder = tmp_path_factory.mktemp("lm")
    small_weights(NAME, folder / "weights")
    small_cache(NAME, folder / "cache")
    return folder


def _settings(place: Path, **changed: object) -> LMTrainingConfig:
    values: dict[str, object] = {
        "weights": str(place / "weights"),
        "dim": 16,
        "layers": 1,
        "steps": 20,
        "passes": 1,
        "batch": 2,
        "sequence_seconds": 1.0,
        "warmup_steps": 2,
        "bandwidths": {"1.5": 1.0, "6": 1.0},
        "evaluate_every": 1000,
    }
    return LMTrainingConfig(**(values | changed))  # type: ignore[arg-type]


def _trainer(place: Path, run: str, **changed: object) -> LMTrainer:
    return LMTrainer(_settings(place, **changed), AudioCache(place / "cache"), place / run)


def test_stopping_changes_nothing(place: Path, one_thread: None) -> None:  # with a depth head
    whole = _trainer(place, "whole", steps=10)
    assert whole.run()
    first = _trainer(place, "parts", steps=10)
    assert not first.run(stop_at=5)
    second = _trainer(place, "parts", steps=10)
    assert second.step == 5
    assert second.run()
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, second.network.state_dict()[name]), name
    for name, tensor in whole.average.tensors.items():
        assert torch.equal(tensor, second.average.tensors[name]), name
    assert whole.evaluate() == second.evaluate()
    lines = [json.loads(line) for line in (place / "whole" / "log.jsonl").read_text().splitlines()]
    assert {"best/bits_6/all", "best/bits_6/music", "best/saved_6"} <= set(lines[-1])


def test_a_saved_state_knows_the_best_evaluation(place: Path) -> None:
    """Killed after it, the run does not take worse weights for the best ones when it goes on."""
    trainer = _trainer(place, "killed", save_every=1, evaluate_every=1)
    trainer._report(RunLog(place / "killed", None, 0, enabled=False), trainer.train_step())
    assert load_state(place / "killed" / STATE)["best"] == trainer.best < math.inf


def test_it_learns(place: Path) -> None:
    trainer = _trainer(place, "learns", steps=30, bandwidths={"1.5": 1.0}, learning_rate=1e-2)
    batch = trainer.sampler.batch(10**6, 4)
    before = float(trainer.network.eval().bits(batch)[0].detach())
    trainer.run()
    assert float(trainer.network.eval().bits(batch)[0].detach()) < before - 0.3


def test_the_best_weights_are_kept(place: Path, tmp_path: Path) -> None:
    trainer = _trainer(place, "worse", steps=4, evaluate_every=2, average_decay=0.0)
    trainer.run(stop_at=3)
    good = export_lm(place / "worse", tmp_path / "good")
    with torch.no_grad():
        trainer.network.outward.add_(5 * torch.randn_like(trainer.network.outward))
    trainer.run()
    kept = export_lm(place / "worse", tmp_path / "kept")
    assert kept.name == good.name  # which has the id of its tensors


def test_other_held_out_recordings_are_judged_anew(place: Path, tmp_path: Path) -> None:
    trainer = _trainer(place, "judged", steps=4)
    trainer.best = 0.5
    trainer.save()
    assert _trainer(place, "judged", steps=4).best == 0.5
    assert _trainer(place, "judged", steps=4, evaluate_seconds=3.0).best == math.inf
    other = AudioCache(small_cache(NAME, tmp_path / "cache"))
    other.origin = "another"
    assert LMTrainer(trainer.settings, other, place / "judged").best == math.inf


def test_weights_that_have_moved_are_found_where_it_is_exported_to(
    place: Path, tmp_path: Path
) -> None:
    weights = small_weights(NAME, tmp_path / "weights")
    _trainer(place, "moved", steps=1, weights=str(weights)).run()
    moved = weights.rename(tmp_path / "moved")
    assert export_lm(place / "moved", moved).parent == moved
    with pytest.raises(WeightsUnavailableError):
        export_lm(place / "moved", tmp_path / "nowhere")


def test_a_hugging_face_folder_has_no_room_for_a_language_model(
    place: Path, tmp_path: Path
) -> None:
    _trainer(place, "hub", steps=1).run()
    folder = tmp_path / "hub"
    save_hub(load_network(Registry(str(place / "weights")).find(NAME), EncodecNetwork), folder)
    before = sorted(folder.rglob("*"))
    with pytest.raises(WeightsError, match="safetensors first"):
        export_lm(place / "hub", folder)
    assert sorted(folder.rglob("*")) == before


def test_a_cache_without_held_out_recordings(place: Path, tmp_path: Path) -> None:
    cache = AudioCache(small_cache(NAME, tmp_path / "cache"))
    cache.recordings = [replace(recording, split="train") for recording in cache.recordings]
    with pytest.raises(TrainingDataError, match="--valid-share above 0"):
        LMTrainer(_settings(place), cache, tmp_path / "run")


def test_a_depth_head_learns_what_codes_say_of_each_other(place: Path) -> None:
    """The second codebook repeats the first, which is random: one of 8 codes."""
    last = {}
    rng = np.random.default_rng(0)
    for depth in (False, True):
        changes = {"learning_rate": 0.03, "bandwidths": {"1.5": 1.0}}
        trainer = _trainer(place, f"copies {depth}", depth=depth, steps=80, **changes)
        for streams in (trainer.train_streams, trainer.valid_streams):
            streams.codes[:] = rng.integers(0, 8, streams.codes.shape[1])
        trainer.run()
        bits = bits_per_code(trainer.network.merged(), trainer.valid_streams, [0], 2)
        last[depth] = bits["codebook_2"]
        assert bits["all"] == pytest.approx((bits["codebook_1"] + bits["codebook_2"]) / 2)
        assert bits["codebook_1"] > 2.7
    assert last[False] > 2.7
    assert last[True] < 1


def test_a_run_starts_from_a_finished_model(place: Path, tmp_path: Path) -> None:
    first = _trainer(place, "first", depth=False, steps=30, evaluate_every=5, learning_rate=1e-2)
    first.run()
    path = export_lm(place / "first", tmp_path / "finished")  # as it was at its best
    last = json.loads((place / "first" / "log.jsonl").read_text().splitlines()[-1])
    best = {name.removeprefix("best/"): last[name] for name in last if name.startswith("best/bits")}
    assert best
    fresh = _trainer(place, "fresh", depth=False).evaluate()
    for source in (path, path.parent):
        for depth in (False, True):
            changes = {"start_from": str(source), "depth": depth}
            later = _trainer(place, f"later {depth} {source.name}", **changes).evaluate()
            for name, bits in best.items():
                assert later[name] == pytest.approx(bits, abs=0.01), name
                if name.endswith("_6/all"):
                    assert bits < fresh[name] - 0.3
    deep = _trainer(place, "deep", start_from=str(path), steps=3)
    deep.run()
    assert load_state(place / "deep" / STATE)["config"]["start_from"] == str(path)
    assert _trainer(place, "deep", start_from=str(path), steps=3).step == 3
    finished = export_lm(place / "deep", tmp_path / "deep")
    with pytest.raises(WeightsError, match="16, 1 layers and a depth head; the run's has"):
        _trainer(place, "shallow", start_from=str(finished), depth=False)
    with pytest.raises(WeightsError, match="has dim 24"):
        _trainer(place, "wide", start_from=str(path), dim=24)
    with pytest.raises(WeightsError, match="no language model"):
        _trainer(place, "none", start_from=str(place / "weights"))


def test_a_run_of_an_earlier_version_goes_on_without_a_depth_head(
    place: Path, tmp_path: Path
) -> None:
    """Its settings do not say whether it has one."""
    run = place / "earlier"
    _trainer(place, "earlier", depth=False, steps=5).run(stop_at=2)
    state = load_state(run / STATE)
    del state["config"]["depth"], state["config"]["start_from"]
    save_state(state, run / STATE)
    (run / SETTINGS).write_text(json.dumps(state["config"]))
    parser = argparse.ArgumentParser()
    lm_command.add_arguments(parser)
    lm_command.run(parser.parse_args(f"{place / 'cache'} {run} --device cpu".split()))
    assert load_state(run / STATE)["step"] == 5
    save_state({**load_state(run / BEST), "config": state["config"]}, run / BEST)
    config, _ = read_own_lm(export_lm(run, tmp_path / "out"))
    assert not config.depth


def test_other_weights_or_networks_do_not_go_on(place: Path, tmp_path: Path) -> None:
    _trainer(place, "kept").save()
    with pytest.raises(SettingsError, match="dim"):
        _trainer(place, "kept", dim=24)
    with pytest.raises(SettingsError, match="depth"):
        _trainer(place, "kept", depth=False)
    with pytest.raises(SettingsError, match="holds a run for"):
        _trainer(place, "kept", weights="bundled")


def test_the_command_makes_a_model_that_codes(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, folder = tmp_path / "run", tmp_path / "folder"
    parser = argparse.ArgumentParser()
    lm_command.add_arguments(parser)
    words = f"{place / 'cache'} {run} --weights {place / 'weights'} --export {folder} --steps 3"
    words += " --dim 16 --layers 2 --batch 2 --sequence-seconds 1 --bandwidths 1.5=1"
    words += " --passes 2 --device cpu"
    lm_command.run(parser.parse_args(words.split()))
    found = Registry(str(folder)).find(NAME)
    assert found.lm is not None
    assert found.lm.config.depth
    assert found.lm.made_for == found.header_name

    monkeypatch.setenv("ENCODEC_WEIGHTS", str(folder))
    model = load_model(NAME)
    model.set_target_bandwidth(3.0)
    cache = AudioCache(place / "cache")
    wav = cache.read(cache.recordings[2], 0, cache.recordings[2].length)
    coded, plain = compress(model, wav, use_lm=True), compress(model, wav)
    assert coded != plain
    np.testing.assert_array_equal(decompress(coded)[0].numpy(), decompress(plain)[0].numpy())

    other = small_weights("encodec_24khz", tmp_path / "other")
    path = next(other.glob("*.safetensors"))
    shown = export_lm(run, other)  # the same weights: they are kept
    assert json.loads((other / "index.json").read_text())[NAME] == {
        "model": path.name,
        "lm": shown.name,
    }
    path.unlink()
    (other / "index.json").unlink()
    bundled = Registry("bundled").find(NAME).path
    (other / bundled.name).write_bytes(bundled.read_bytes())
    with pytest.raises(WeightsError, match="made for"):
        export_lm(run, other)


def test_a_decoder_trained_meanwhile(place: Path, tmp_path: Path) -> None:
    """The codes are the same, so the language model goes with the new decoder too."""
    _trainer(place, "meanwhile", steps=2).run()
    first = export_lm(place / "meanwhile", tmp_path / "first")
    newer = tmp_path / "newer"
    network = load_model(NAME, str(place / "weights"))
    with torch.no_grad():
        next(network.decoder.parameters()).add_(0.5)
    save_weights(network, newer, torch.float32)
    shown = export_lm(place / "meanwhile", newer)
    assert shown.name == first.name  # the id of its tensors
    found = Registry(str(newer)).find(NAME)
    assert found.lm is not None
    assert found.lm.made_for == found.header_name
    assert found.header_name != Registry(str(first.parent)).find(NAME).header_name
    with torch.no_grad():
        network.quantizer.codebooks[3].codebook.embed[7, 0].add_(0.5)
    save_weights(network, tmp_path / "others", torch.float32)
    with pytest.raises(WeightsError, match="made for"):
        export_lm(place / "meanwhile", tmp_path / "others")


def test_bits_are_those_of_the_file(place: Path) -> None:
    trainer = _trainer(place, "bits", steps=5)
    trainer.run()
    export_lm(place / "bits", place / "exported")
    codec = Codec.load(NAME, str(place / "exported"))
    streams = trainer.valid_streams
    found = bits_per_code(codec.require_lm().model(), streams, [0], 8)
    x = trainer.evaluate()["bits_6/all"]
    assert found["all"] == pytest.approx(x, abs=0.01)  # float16 in the file
    cache = AudioCache(place / "cache")
    wav = cache.read(cache.recordings[2], 0, cache.recordings[2].length)
    model = load_model(NAME, str(place / "exported"))
    model.set_target_bandwidth(6.0)
    data = compress(model, wav, use_lm=True)
    header = read_header(fo := io.BytesIO(data))
    assert header.lm
    bits = 8 * (len(data) - fo.tell())
    assert abs(bits - found["all"] * 8 * streams.lengths[0]) < 32
