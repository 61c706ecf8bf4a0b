"""What the README shows in Python runs, and so does the reference's own README."""

import re
from pathlib import Path

import pytest
import torch

from model_core.utils import load_audio, save_audio
from tests.peers import signal

README = Path(__file__).parents[1] / "README.md"

# The example of the reference's README (facebookresearch/encodec, at its head): the calls and
# their order, with `encodec` replaced.
REFERENCE_EXAMPLE = """
from model_core import EncodecModel
from model_core.utils import convert_audio
import torchaudio
import torch
model = EncodecModel.encodec_model_24khz()
model.set_target_bandwidth(6.0)
wav, sr = torchaudio.load("speech.wav")
wav = convert_audio(wav, sr, model.sample_rate, model.channels)
wav = wav.unsqueeze(0)
with torch.no_grad():
    encoded_frames = model.encode(wav)
codes = torch.cat([encoded[0] for encoded in encoded_frames], dim=-1)
"""


@pytest.fixture(autouse=True)
def _a_recording_and_the_bundled_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_audio(signal(2, 44_100, 44_100), tmp_path / "speech.wav", 44_100)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENCODEC_WEIGHTS", "bundled")


def test_our_example(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    assert isinstance(codes := names["codes"], torch.Tensor)
    assert codes.shape == (1, 8, 75)
    wav, rate = load_audio(tmp_path / "decoded.wav")
    assert (wav.shape, rate) == ((1, 24_000), 24_000)


@pytest.mark.parametrize("order", ["head", "0.1.1"])
def test_the_reference_example(monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    """Version 0.1.1 shows `unsqueeze` before `convert_audio`, which its own code cannot do."""
    monkeypatch.setattr("torchaudio.load", load_audio)  # torchaudio's needs another package
    code = REFERENCE_EXAMPLE
    if order == "0.1.1":
        code = code.replace("wav = wav.unsqueeze(0)\n", "")
        code = code.replace('"speech.wav")\n', '"speech.wav")\nwav = wav.unsqueeze(0)\n')
    names: dict[str, object] = {}
    exec(code, names)
    assert isinstance(codes := names["codes"], torch.Tensor)
    assert codes.shape == (1, 8, 75)
