"""Small seeded weights with a language model, and audio to evaluate on."""

from pathlib import Path

import numpy as np
import pytest
import torch

from model_core.audio import pcm16, wav_header
from model_core.checkpoints.save import save_lm, save_weights
from model_core.config import ENCODEC_24KHZ, LMConfig
from model_core.ecdc import ModelName
from model_core.model import EncodecModel
from model_core.nn.lm import LMModel
from tests.peers import signal

RATE = 24_000


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = EncodecModel(ENCODEC_24KHZ.with_filters(2))
        for name, tensor in model.state_dict().items():
            if name.endswith("embed"):
                tensor.normal_(0, 0.3)
        path = save_weights(model, folder)
        owner = ModelName(model.config.name, path.stem.rsplit("-", 1)[1])
        lm = LMModel.from_config(LMConfig(model.config.name, dim=16, num_layers=1))
        save_lm(lm, str(owner), folder)
    return folder


def audio(seconds: float, seed: int = 0) -> np.ndarray:
    """Tones and noise in bursts, `[1, n]` at `RATE`."""
    samples: np.ndarray = signal(1, round(seconds * RATE), RATE, seed).numpy()
    return samples


def write_wav(path: Path, samples: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(wav_header(RATE, *samples.shape) + pcm16(samples))
    return path


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Two of 1.2 s, one that is silent, one too short, and two that are no audio at all."""
    folder = tmp_path / "recordings"
    write_wav(folder / "speech" / "b.wav", audio(1.2, 1))
    write_wav(folder / "music" / "a.wav", audio(1.2, 2))
    write_wav(folder / "silent.wav", np.zeros((1, 2 * RATE), np.float32))
    write_wav(folder / "short.wav", audio(0.3))
    (folder / "notes.txt").write_text("no audio")
    (folder / "broken.flac").write_bytes(b"fLaC and nothing more")
    return folder
