"""What the README shows runs and makes what it says, and so does the reference's own README."""

import pytest
import torch

from model_core.utils import load_audio
from tests.docs.running import Reader
from tests.docs.snippets import ROOT, Snippet, examples

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
EXAMPLES = examples(ROOT / "README.md")


def example(word: str) -> Snippet:
    """The one that contains a word."""
    (found,) = (snippet for snippet in EXAMPLES if word in snippet.code)
    return found


def test_the_python_example(reader: Reader) -> None:
    names = reader.run(example("from model_core"))
    assert isinstance(codes := names["codes"], torch.Tensor)
    assert codes.shape == (1, 8, 75)
    wav, rate = load_audio(reader.folder / "decoded.wav")
    assert (wav.shape, rate) == ((1, 24_000), 24_000)


def test_the_client_example(reader: Reader) -> None:
    reader.run(example("from encodec_client"))
    assert (reader.folder / "speech.ecdc").read_bytes().startswith(b"ECDC\x01")


def test_the_curl_commands(reader: Reader) -> None:
    (reader.folder / "speech.mp3").write_bytes((reader.folder / "speech.wav").read_bytes())
    reader.run(example("curl "))
    assert (reader.folder / "speech.ecdc").read_bytes().startswith(b"ECDC")
    samples, rate = load_audio(reader.folder / "speech.wav")
    assert (samples.shape, rate) == ((1, 24_000), 24_000)


def test_the_curl_commands_fail_with_the_problem(reader: Reader) -> None:
    (reader.folder / "speech.mp3").write_bytes(b"no audio")
    with pytest.raises(AssertionError, match=r"curl: \(22\)"):
        reader.run(example("curl "))
    assert b"undecodable_audio" in (reader.folder / "speech.ecdc").read_bytes()


def test_the_commands(reader: Reader) -> None:
    reader.run(example("encodec speech.mp3"))
    samples, rate = load_audio(reader.folder / "clip.wav")
    assert (samples.shape, rate) == ((1, 15 * 24_000), 24_000)
    assert sorted(path.name for path in (reader.folder / "packed").rglob("*.ecdc")) == [
        "a.ecdc",
        "b.ecdc",
    ]


@pytest.mark.parametrize(
    "word",
    ["--print-completion", "encodec-client'", "WebSocket", "encodec-web"],
    ids=["shells", "ts", "live", "web"],
)
def test_the_other_examples(reader: Reader, word: str) -> None:
    reader.run(example(word))


def test_no_example_is_forgotten() -> None:
    assert len(EXAMPLES) == 8


@pytest.mark.parametrize("order", ["head", "0.1.1"])
def test_the_reference_example(reader: Reader, monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    """Version 0.1.1 shows `unsqueeze` before `convert_audio`, which its own code cannot do."""
    monkeypatch.setattr("torchaudio.load", load_audio)  # torchaudio's needs another package
    code = REFERENCE_EXAMPLE
    if order == "0.1.1":
        code = code.replace("wav = wav.unsqueeze(0)\n", "")
        code = code.replace('"speech.wav")\n', '"speech.wav")\nwav = wav.unsqueeze(0)\n')
    names = reader.run(Snippet("the reference's README", 1, "python", code, None))
    assert isinstance(codes := names["codes"], torch.Tensor)
    assert codes.shape == (1, 8, 75)
