"""`encodec-train` from a folder of files to weights that code, and what it says when it cannot."""

import json
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from model_core.checkpoints import Registry
from model_core.codec import Codec
from model_core.evaluation.codec_run import coded
from model_core.training.cli import COMMANDS, main, parser
from model_core.training.run_arguments import run_device
from tests.peers import signal

RATE = 24_000
TINY = "--n-filters 4 --batch 2 --clip-seconds 0.1 --device cpu --threads 1"


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    for i in range(4):
        with wave.open(str(folder / f"voice{i}_1.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            samples = signal(1, 2 * RATE, RATE, seed=i).numpy()
            file.writeframes((samples[0] * 32767).astype("<i2").tobytes())
    return folder


def test_from_files_to_weights_that_code_with_their_language_model(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, lm_run, weights = tmp_path / "run", tmp_path / "lm", tmp_path / "weights"
    flags = f"--preset laptop {TINY} --quantise-from 0 --kmeans-frames 30"
    assert main(["codec", str(recordings), str(run), *flags.split(), "--minutes", "0.02"]) == 0
    said = capsys.readouterr().err
    assert "speech valid: 1 recordings" in said
    assert "encodec-train export" in said
    assert main(["export", str(run), str(weights)]) == 0

    small = "--dim 16 --layers 1 --batch 2 --sequence-seconds 0.5 --steps 2 --passes 1"
    words = f"lm {run / 'cache'} {lm_run} --weights {weights} {small} --device cpu"
    assert main(words.split()) == 0
    assert main(["export", str(lm_run), str(weights)]) == 0
    found = Registry(str(weights)).find("encodec_24khz")
    assert found.config.n_filters == 4
    assert found.lm is not None

    codec = Codec.load("encodec_24khz", str(weights), lm=True)
    x = signal(1, RATE, RATE).numpy()
    results, _ = coded(codec, x, [1.5, 6.0], lm=True)
    for result in results:
        assert result.samples.shape == x.shape
        assert np.isfinite(result.samples).all()


@pytest.mark.parametrize("preset", ["core", "gpu"])
def test_presets_train_the_bundled_weights_on(
    preset: str, recordings: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    short = "--batch 1 --clip-seconds 0.1 --n-filters 16 --adversary-filters 2 --device cpu"
    words = f"codec {recordings} {run} --preset {preset} {short} --steps 6 --log-every 1"
    assert main(words.split()) == 0
    logged = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    steps = [line for line in logged if "train/time" in line]
    assert [line["step"] for line in steps] == [1, 2, 3, 4, 5, 6]
    assert all("train/spectrum" in line and "train/commitment" in line for line in steps[:4])
    assert ["train/adversarial" in line for line in steps] == [
        preset == "gpu" and step > 4 for step in range(6)
    ]
    assert steps[0]["train/si_snr"] > 0, "it begins with weights that were trained before"


def test_a_folder_without_audio_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("no audio")
    assert main(["codec", str(tmp_path / "notes"), str(tmp_path / "run")]) == 1
    assert "encodec-train: " in capsys.readouterr().err


def test_a_wrong_setting_is_refused_before_anything_is_decoded(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(["codec", str(recordings), str(run), "--batch", "0"]) == 1
    assert "batch" in capsys.readouterr().err
    assert not run.exists()


@pytest.mark.parametrize("device", ["gpu", "meta", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(
    device: str, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"codec {recordings} {tmp_path / 'run'} --device {device}"
    assert main(words.split()) == 1
    assert f"'{device}'" in capsys.readouterr().err


def test_a_run_that_cannot_be_written_is_refused(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = recordings / "voice0_1.wav"
    assert main(["prepare", str(recordings), str(tmp_path / "cache"), "--jobs", "1"]) == 0
    assert main(["codec", str(tmp_path / "cache"), str(run), *TINY.split(), "--steps", "1"]) == 1
    assert run.name in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("prepare {data} {cache} --valid-share 2", "--valid-share: 2 is not between 0 and 0.9"),
        ("prepare {data} {cache} --pack-noise -5", "--pack-noise: -5"),
        ("prepare {data} {cache} --pack-noise nan", "--pack-noise: nan"),
        ("prepare {data} {cache} --jobs 0", "--jobs: 0"),
        ("codec {data} {run} --stop-after -1", "--stop-after: -1"),
        ("codec {data} {run} --stop-after soon", "--stop-after: 'soon' is not a number"),
        ("lm {data} {run} --stop-after -1", "--stop-after: -1"),
        ("synth {run} --minutes -3", "--minutes: -3"),
        ("synth {run} --speech-share 2", "--speech-share: 2"),
        ("codec --bogus {data} {run}", "usage: encodec-train codec [FLAG ...] DATA RUN"),
        ("lm --bogus {data} {run}", "unrecognized arguments: --bogus"),
    ],
)
def test_wrong_usage_ends_with_2_before_anything_is_done(
    words: str, says: str, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"data": recordings, "cache": tmp_path / "cache", "run": tmp_path / "run"}
    with pytest.raises(SystemExit) as end:
        main(words.format(**places).split())
    assert end.value.code == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [recordings]


@pytest.mark.parametrize(
    "argv", [["prepare", "", "cache"], ["codec", "cache", "run", "--start-from", ""]]
)
def test_an_empty_name_is_not_the_current_folder(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(argv)
    assert end.value.code == 2
    assert "a name is empty" in capsys.readouterr().err


def test_prepare_replaces_a_cache_only_when_told(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"prepare {recordings} {tmp_path / 'cache'} --jobs 1".split()
    assert main(words) == 0
    made = (tmp_path / "cache" / "index.json").stat().st_mtime_ns
    assert main(words) == 1
    assert "-f" in capsys.readouterr().err
    assert (tmp_path / "cache" / "index.json").stat().st_mtime_ns == made
    assert main([*words, "--force"]) == 0
    assert (tmp_path / "cache" / "index.json").stat().st_mtime_ns != made


def test_a_run_takes_other_recordings_only_when_told(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other, run = (tmp_path / name for name in ("one", "other", "run"))
    assert main(f"prepare {recordings} {one} --jobs 1".split()) == 0
    (recordings / "voice3_1.wav").unlink()
    assert main(f"prepare {recordings} {other} --jobs 1".split()) == 0
    flags = f"{run} {TINY} --quantise-from 1".split()
    assert main(["codec", str(one), *flags, "--steps", "1"]) == 0
    assert main(["codec", str(other), *flags, "--steps", "2"]) == 1
    assert "--other-recordings" in capsys.readouterr().err
    assert main(["codec", str(one), *flags, "--steps", "2"]) == 0
    assert main(["codec", str(other), *flags, "--steps", "3", "--other-recordings"]) == 0
    assert main(["codec", str(one), *flags, "--steps", "4"]) == 1


@pytest.mark.parametrize("width", [8, 24])
def test_weights_that_cannot_grow_are_refused_before_anything_is_decoded(
    width: int, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bundled ones have 16 filters."""
    run = tmp_path / "run"
    words = f"codec {recordings} {run} --start-from bundled --n-filters {width} --device cpu"
    assert main(words.split()) == 1
    assert f"16 or that doubled, 32, 64 and so on, not {width}" in capsys.readouterr().err
    assert not run.exists()


def test_a_source_that_is_nothing_is_called_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for source, says in (("nowhere", "no such run, folder or file"), ("empty", "neither a run")):
        assert main(["export", str(tmp_path / source), str(tmp_path / "out")]) == 1
        assert says in capsys.readouterr().err


def test_a_cpu_run_leaves_a_core_to_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    try:
        for given, flags, wanted in ((4, "", 3), (1, "", 1), (4, "--threads 2", 2)):
            torch.set_num_threads(given)
            words = f"codec data run --device cpu {flags}".split()
            with run_device(parser().parse_args(words)):
                assert torch.get_num_threads() == wanted
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert len(capsys.readouterr().out) > 200
