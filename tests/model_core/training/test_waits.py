"""Within a step the host never waits for the device: it prepares the next one meanwhile."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from model_core.training.codec.settings import CodecSettings
from model_core.training.codec.trainer import CodecTrainer
from model_core.training.data.cache import AudioCache
from model_core.training.data.sampler import ClipSampler
from tests.model_core.training.data.fixtures import MIXED, write_cache

ROOT = Path(__file__).parents[3]
PROGRAM = "tests.model_core.training.pretended_device"


def test_nothing_in_a_step_waits() -> None:
    done = subprocess.run(
        [sys.executable, "-m", PROGRAM],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "codec done\nlm done\n", done.stderr[-3000:]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_nothing_in_a_step_waits_for_a_gpu(tmp_path: Path) -> None:
    cache = AudioCache(write_cache(tmp_path / "c", MIXED, rate=24_000))
    settings = CodecSettings(
        n_filters=4, steps=20, batch=4, kmeans_frames=1100, quantise_from=0.0, adversary_from=0.0
    )
    trainer = CodecTrainer(settings, cache, tmp_path / "run", "cuda")
    assert isinstance(trainer.sampler, ClipSampler)
    for _ in range(5):  # every bandwidth's codebooks have been asked whether they have started
        trainer.train_step()
    try:
        torch.cuda.set_sync_debug_mode("error")
        seen = [trainer.train_step() for _ in range(5)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(torch.tensor(float(v)).isfinite() for values in seen for v in values.values())
