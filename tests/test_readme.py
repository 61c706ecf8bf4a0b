"""What the README shows in Python and with curl runs, and so does the reference's own README."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from model_core.utils import load_audio, save_audio
from tests.peers import signal
from tests.service.live import Live, live
from tests.service.narrow import write_narrow_models

README = Path(__file__).parents[1] / "README.md"
DEFAULT_URL = "http://127.0.0.1:8000"

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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    weights = tmp_path_factory.mktemp("weights")
    write_narrow_models(weights)
    with live(weights) as running:
        yield running


def blocks(language: str, word: str) -> list[str]:
    """Those of the README's code blocks in a language that contain a word."""
    found = re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)
    return [block for block in found if word in block]


def pointed_at(server: Live, text: str) -> str:
    """The example with the address of a server that runs."""
    assert DEFAULT_URL in text
    return text.replace(DEFAULT_URL, server.url)


def test_every_python_block_is_tested() -> None:
    assert len(blocks("python", "")) == 2


def test_our_example(tmp_path: Path) -> None:
    (code,) = blocks("python", "model_core")
    names: dict[str, object] = {}
    exec(code, names)
    assert isinstance(codes := names["codes"], torch.Tensor)
    assert codes.shape == (1, 8, 75)
    wav, rate = load_audio(tmp_path / "decoded.wav")
    assert (wav.shape, rate) == ((1, 24_000), 24_000)


def test_the_client_example(server: Live, tmp_path: Path) -> None:
    (code,) = blocks("python", "encodec_client")
    exec(pointed_at(server, code), {})
    assert (tmp_path / "speech.ecdc").read_bytes().startswith(b"ECDC\x01")


def curl(server: Live) -> list[list[str]]:
    """The commands of the README, each as arguments."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (block,) = blocks("bash", "curl ")
    return [shlex.split(line) for line in pointed_at(server, block).splitlines()]


def test_the_curl_commands(server: Live, tmp_path: Path) -> None:
    shutil.copy("speech.wav", "speech.mp3")  # the name says nothing to the service
    for command in curl(server):
        subprocess.run(command, check=True, timeout=60)
    assert (tmp_path / "speech.ecdc").read_bytes().startswith(b"ECDC")
    samples, rate = load_audio(tmp_path / "speech.wav")
    assert (samples.shape, rate) == ((1, 24_000), 24_000)


def test_the_curl_commands_fail_with_the_problem(server: Live, tmp_path: Path) -> None:
    (tmp_path / "speech.mp3").write_bytes(b"no audio")
    done = subprocess.run(curl(server)[0], check=False, timeout=60, capture_output=True)
    assert done.returncode == 22
    assert b"undecodable_audio" in (tmp_path / "speech.ecdc").read_bytes()


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
