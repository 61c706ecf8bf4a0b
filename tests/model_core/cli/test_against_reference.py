"""The reference's own command, with the same weights under the same name."""

import hashlib
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import encodec.__main__ as reference_command
import pytest
import torch

from tests.peers import NAMES, Peers

from .conftest import Command, samples_of, write_wav

Reference = Callable[..., None]
FLAGS = {"encodec_24khz": [], "encodec_48khz": ["--hq"]}
SECONDS = 1.1  # more than one segment
RATES = {"encodec_24khz": 24_000, "encodec_48khz": 48_000}
CHANNELS = {"encodec_24khz": 1, "encodec_48khz": 2}


@pytest.fixture(scope="module")
def shared_weights(peers: Peers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference's state dicts, as it would publish them."""
    folder = tmp_path_factory.mktemp("shared")
    for name in NAMES:
        path = folder / "unnamed"
        torch.save(peers.pair(name).reference.state_dict(), path)
        sha = hashlib.sha256(path.read_bytes()).hexdigest()
        path.rename(folder / f"{name}-{sha[:8]}.th")
    return folder


@pytest.fixture
def reference(
    peers: Peers, encodec: Command, shared_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> Reference:
    """The reference's `main`; its models are called what our headers call them."""
    from model_core.checkpoints import Registry

    encodec.weights = shared_weights
    models = {}
    for name in NAMES:
        model = peers.pair(name).reference
        header_name = Registry(str(shared_weights)).find(name).header_name
        monkeypatch.setattr(model, "name", header_name)
        models[name] = models[header_name] = lambda model=model: model
    monkeypatch.setattr(reference_command, "MODELS", models)
    # (The package has a function of the same name as this module.)
    monkeypatch.setattr(sys.modules["encodec.compress"], "MODELS", models)
    monkeypatch.setattr(reference_command.torchaudio, "load", _load)

    def run(*argv: object) -> None:
        with monkeypatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            patch.setattr(sys, "argv", ["encodec", *map(str, argv)])
            patch.setattr("encodec.__main__.save_audio", _save)
            reference_command.main()

    return run


def _load(path: Path) -> tuple[torch.Tensor, int]:
    """torchaudio needs another package to read files; 16-bit WAV is easily read."""
    samples, rate = samples_of(path)
    return torch.from_numpy(samples.T.astype("float32") / 32768), rate


def _save(wav: torch.Tensor, path: Path, rate: int, rescale: bool) -> None:
    """As the reference's, whose torchaudio needs another package to write files too."""
    from model_core.utils import save_audio

    peak = wav.abs().max()
    wav = wav * (0.99 / peak).clamp(max=1) if rescale else wav.clamp(-0.99, 0.99)
    save_audio(wav, path, rate)


@pytest.mark.parametrize("name", NAMES)
def test_same_bytes(
    encodec: Command,
    reference: Reference,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """With torch's own arithmetic, which is the reference's too: no near tie falls otherwise."""
    monkeypatch.setenv("ENCODEC_BACKEND", "torch")
    source = write_wav(tmp_path / "x.wav", SECONDS, RATES[name], CHANNELS[name])
    for bandwidth in ("3", "24"):
        reference(source, tmp_path / "theirs.ecdc", "-f", "-b", bandwidth, *FLAGS[name])
        outcome = encodec(source, tmp_path / "ours.ecdc", "-f", "-b", bandwidth, *FLAGS[name])
        assert (outcome.code, outcome.err) == (0, "")
        theirs = (tmp_path / "theirs.ecdc").read_bytes()
        assert len(set(theirs[100:])) > 100
        assert (tmp_path / "ours.ecdc").read_bytes() == theirs


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rescale", [[], ["-r"]])
def test_same_names_and_sound(
    encodec: Command, reference: Reference, tmp_path: Path, name: str, rescale: list[str]
) -> None:
    """Each decompresses its own file into the default name; the samples differ by a rounding."""
    for side, command in (("ours", encodec), ("theirs", reference)):
        (tmp_path / side).mkdir()
        source = write_wav(tmp_path / side / "x.wav", SECONDS, RATES[name], CHANNELS[name])
        command(source, *FLAGS[name])
        command(tmp_path / side / "x.ecdc", *rescale)
    names = [sorted(p.name for p in (tmp_path / side).iterdir()) for side in ("ours", "theirs")]
    assert names[0] == names[1] == ["x.ecdc", "x.wav", "x_decompressed.wav"]
    ours, rate = samples_of(tmp_path / "ours" / "x_decompressed.wav")
    theirs, their_rate = samples_of(tmp_path / "theirs" / "x_decompressed.wav")
    assert (rate, ours.shape) == (their_rate, theirs.shape)
    assert abs(ours.astype(int) - theirs).max() <= 4
    assert abs(ours.astype(int)).max() > 1000


def test_same_refusals(
    encodec: Command, reference: Reference, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the reference does not do, and with which exit code."""
    source = write_wav(tmp_path / "x.wav", 0.2)
    (tmp_path / "x.ecdc").write_bytes(b"there")
    for argv in (
        [source],
        [tmp_path / "none.wav"],
        [source, tmp_path / "y.mp3"],
        [source, tmp_path / "none" / "y.ecdc"],
        [tmp_path / "x.ecdc", tmp_path / "y.ecdc"],
        [source, "-b", "7"],
        [],
    ):
        with pytest.raises(SystemExit) as end:
            reference(*argv)
        assert encodec(*argv).code == end.value.code
    # Here we differ on purpose: wrong usage is 2, as everywhere else. The reference exits with 1.
    argv = [source, tmp_path / "y.ecdc", "--hq", "-b", "1.5"]
    with pytest.raises(SystemExit) as end:
        reference(*argv)
    assert (end.value.code, encodec(*argv).code) == (1, 2)
    capsys.readouterr()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.ecdc", "x.wav"]
