"""The stages of a run: codebooks fitted anew, then encoder and codebooks final."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model_core.config import ENCODEC_24KHZ
from model_core.training.codec.settings import CodecSettings
from model_core.training.codec.trainer import CodecTrainer
from model_core.training.data.cache import AudioCache
from tests.model_core.training.lm.fixtures import small_cache
from tests.service.narrow import write_narrow_models

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = CodecSettings(
    n_filters=2,
    steps=12,
    batch=2,
    clip_seconds=0.1,
    kmeans_frames=30,
    quantise_from=0.25,
    adversarial_weight=0.0,
    spectrum_weight=1.0,
    warmup_steps=2,
    save_every=1000,
    evaluate_every=1000,
)


@pytest.fixture
def cache(tmp_path: Path) -> AudioCache:
    folder = small_cache(ENCODEC_24KHZ.name, tmp_path / "cache")
    return AudioCache(folder, sample_rate=ENCODEC_24KHZ.sample_rate)


def _tensors(trainer: CodecTrainer, part: str) -> dict[str, Tensor]:
    state = trainer.model.state_dict()
    return {name: x.clone() for name, x in state.items() if name.startswith(part)}


def _same(before: dict[str, Tensor], after: dict[str, Tensor]) -> bool:
    return all(torch.equal(x, after[name]) for name, x in before.items())


def test_at_the_end_the_decoder_learns_alone(cache: AudioCache, tmp_path: Path) -> None:
    trainer = CodecTrainer(replace(SETTINGS, freeze_from=0.5), cache, tmp_path / "run")
    for _ in range(7):
        trainer.train_step()
    fixed = {part: _tensors(trainer, part) for part in ("encoder", "quantizer")}
    learning = _tensors(trainer, "decoder")
    trainer.save()
    again = CodecTrainer(trainer.settings, cache, tmp_path / "run")
    for run in (trainer, again):
        for _ in range(3):
            run.train_step()
        for part, before in fixed.items():
            assert _same(before, _tensors(run, part)), part
            with run.average.applied(run.model):  # what is exported: its codes are final
                assert _same(before, _tensors(run, part)), part
    assert not _same(learning, _tensors(trainer, "decoder"))
    assert _same(_tensors(trainer, "decoder"), _tensors(again, "decoder"))


def test_codes_stay_final_after_an_evaluation(cache: AudioCache, tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=10, freeze_from=0.3, evaluate_every=5)
    trainer = CodecTrainer(settings, cache, tmp_path / "run")
    while not trainer.frozen:
        trainer.train_step()
    fixed = {part: _tensors(trainer, part) for part in ("encoder", "quantizer")}
    assert trainer.run()
    assert trainer.step == 10
    for part, before in fixed.items():
        assert _same(before, _tensors(trainer, part)), part


def test_codebooks_are_fitted_anew(cache: AudioCache, tmp_path: Path) -> None:
    write_narrow_models(tmp_path / "weights")
    settings = replace(SETTINGS, start_from=str(tmp_path / "weights"), refit=True)
    trainer = CodecTrainer(settings, cache, tmp_path / "run")
    given = _tensors(trainer, "quantizer")
    for _ in range(3):
        trainer.train_step()
    before = trainer.quantising
    trainer.train_step()
    assert (before, trainer.quantising) == (False, True)
    fitted = _tensors(trainer, "quantizer")
    books = [name for name in given if name.endswith("embed")]
    assert books
    assert not any(torch.equal(given[name], fitted[name]) for name in books)
    for _ in range(3):
        seen = trainer.train_step()
    assert torch.isfinite(torch.as_tensor(seen["spectrum"]))
