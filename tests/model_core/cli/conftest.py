"""Folders of small seeded weights, audio files, and the command run in this process."""

import io
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from model_core.audio import pcm16, wav_header
from model_core.checkpoints.save import save_lm, save_weights
from model_core.cli import main
from model_core.config import CONFIGS, LMConfig
from model_core.ecdc import Header, ModelName, read_header
from model_core.model import EncodecModel
from model_core.nn.lm import LMModel
from tests.peers import signal


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small_weights(folder: Path, gain: float) -> Path:
    """Both models and a language model for each; `gain` is what the decoders end with."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for seed, config in enumerate(CONFIGS.values()):
            torch.manual_seed(seed)
            model = EncodecModel(config.with_filters(2))
            for name, tensor in model.state_dict().items():
                if name.endswith("embed"):
                    tensor.normal_(0, 0.3)
            for name, tensor in list(model.decoder.model[-1].named_parameters()):
                if name.endswith(("weight_g", "original0", "bias", "conv.weight", "norm.weight")):
                    tensor.mul_(gain)
            path = save_weights(model, folder)
            owner = ModelName(config.name, path.stem.rsplit("-", 1)[1])
            save_lm(
                LMModel.from_config(LMConfig(config.name, dim=16, num_layers=1)), str(owner), folder
            )
    return folder


@pytest.fixture(scope="session")
def quiet_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_weights(tmp_path_factory.mktemp("quiet"), gain=0.1)


@pytest.fixture(scope="session")
def loud_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_weights(tmp_path_factory.mktemp("loud"), gain=1000.0)


def write_wav(
    path: Path, seconds: float = 0.4, rate: int = 24_000, channels: int = 1, seed: int = 0
) -> Path:
    samples = signal(channels, int(seconds * rate), rate, seed).numpy()
    path.write_bytes(wav_header(rate, *samples.shape) + pcm16(samples))
    return path


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    """0.4 s, mono, 24 kHz."""
    return write_wav(tmp_path / "x.wav")


def samples_of(wav: Path | bytes) -> tuple[np.ndarray, int]:
    """The 16-bit samples `[n, C]` of a WAV of ours, and its rate in Hz."""
    data = wav if isinstance(wav, bytes) else wav.read_bytes()
    assert data[:4] == b"RIFF"
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    assert int.from_bytes(data[40:44], "little") == len(data) - 44
    channels = int.from_bytes(data[22:24], "little")
    return np.frombuffer(data[44:], "<i2").reshape(-1, channels), int.from_bytes(
        data[24:28], "little"
    )


def files_in(folder: Path) -> set[str]:
    """Everything in a folder, hidden files too."""
    return {path.name for path in folder.iterdir()}


@dataclass
class Outcome:
    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()


class Command:
    """`encodec` in this process, with its own stdin, stdout and stderr."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, weights: Path):
        self._monkeypatch = monkeypatch
        self.weights = weights

    def __call__(self, *argv: object, stdin: bytes = b"", weights: object = None) -> Outcome:
        out, err = io.BytesIO(), io.StringIO()
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            patch.setattr(sys, "stdout", io.TextIOWrapper(out))
            patch.setattr(sys, "stderr", err)
            try:
                code = main(["--weights", str(weights or self.weights), *map(str, argv)])
            except SystemExit as end:
                code = int(str(end.code or 0))
            sys.stdout.flush()
            return Outcome(code, out.getvalue(), err.getvalue())


@pytest.fixture
def encodec(monkeypatch: pytest.MonkeyPatch, quiet_weights: Path) -> Command:
    """Call it with the arguments of the command."""
    return Command(monkeypatch, quiet_weights)


PROGRAM = (sys.executable, "-m", "model_core")


@pytest.fixture
def environment(quiet_weights: Path) -> dict[str, str]:
    return {**os.environ, "ENCODEC_WEIGHTS": str(quiet_weights), "OMP_NUM_THREADS": "1"}


def header_of(path: Path) -> Header:
    return read_header(io.BytesIO(path.read_bytes()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three short recordings and things that are none."""
    folder = tmp_path / "in"
    folder.mkdir()
    for seed, name in enumerate(("a.wav", "b.WAV", "c.wav")):
        write_wav(folder / name, seconds=0.1, seed=seed)
    (folder / "notes.txt").write_text("not audio")
    (folder / ".hidden.wav").write_text("not audio either")
    (folder / "deeper").mkdir()
    return folder


OTHERS = {"notes.txt", ".hidden.wav", "deeper"}
WAVS = {"a.wav", "b.WAV", "c.wav"}
"""What `folder` holds."""


def refused(outcome: Outcome, *words: str) -> None:
    assert outcome.code == 1
    assert outcome.out == b""
    (line,) = outcome.lines
    assert line.startswith("encodec: ")
    for word in words:
        assert word in line
