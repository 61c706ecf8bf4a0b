"""`scripts/gpu_train.sh`: from a packed cache to parts, and on from those, with torch alone."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from model_core.checkpoints.save import save_weights
from model_core.config import ENCODEC_24KHZ
from model_core.model import EncodecModel
from model_core.training.carry.parts import read_parts
from model_core.training.data.build import pack_cache
from tests.model_core.training.lm.fixtures import small_cache

SCRIPT = Path(__file__).parents[2] / "scripts" / "gpu_train.sh"
MISSING = ("av", "fastapi", "httpx", "huggingface_hub", "pydantic", "soundfile", "structlog")
SMALL = "--n-filters 4 --batch 2 --clip-seconds 0.1 --adversary-filters 2 --threads 1"


def run(*arguments: str | Path, without: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", SCRIPT, *arguments],
        env=environment(without),
        capture_output=True,
        text=True,
        check=False,
    )


def environment(without: Path | None = None) -> dict[str, str]:
    return {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(without or "")}


@pytest.fixture
def without(tmp_path: Path) -> Path:
    """A folder that hides the packages which are not there on a machine that only trains."""
    folder = tmp_path / "without"
    folder.mkdir()
    for name in MISSING:
        (folder / f"{name}.py").write_text(f"raise ImportError({name!r})")
    return folder


def narrow_weights(folder: Path) -> Path:
    torch.manual_seed(1)
    model = EncodecModel(ENCODEC_24KHZ.with_filters(2))
    for layer in model.quantizer.codebooks:
        layer.codebook.embed.normal_()
    save_weights(model, folder, torch.float32)
    return folder


def test_a_run_trains_and_a_second_one_continues_it(tmp_path: Path, without: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    pack_cache(small_cache("encodec_24khz", tmp_path / "cache"), data, noise_db=45)
    weights = narrow_weights(tmp_path / "weights")
    flags = [*SMALL.split(), "--start-from", str(weights), "--log-every", "1"]
    where = ["1", "--data", str(data), "--device", "cpu"]
    visit = [*where, "--out", str(out / "1"), "--run-minutes", "0.01", "--", *flags]
    done = run(*visit, without=without)
    assert done.returncode == 0, done.stdout + done.stderr
    files = sorted(path.name for path in (out / "1").iterdir())
    (part,) = (out / "1").glob("carry-*")
    assert files == [part.name, "log.jsonl", "settings.json", "train.log"]
    assert all(name in done.stdout for name in files)
    _, first = read_parts([part])
    assert first["config"]["adversary_from"] == 0.667
    assert first["config"]["minutes"] == 0.01

    minutes = round(
        (first["spent"] + 0.6) / 60, 4
    )  # its last step may have taken longer than it had
    visit = [*where, "--out", str(out / "2"), "--run-minutes", str(minutes), "--carry", str(part)]
    done = run(*visit, without=without)
    assert done.returncode == 0, done.stdout + done.stderr
    (part,) = (out / "2").glob("carry-*")
    _, second = read_parts([part])
    assert second["step"] > first["step"] > 0
    assert second["config"] == first["config"] | {"minutes": minutes}
    lines = [json.loads(line) for line in (out / "2" / "log.jsonl").read_text().splitlines()]
    assert any("valid/si_snr/music" in line for line in lines)  # it ended, and was judged


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_run_with_its_progress_packed(
    tmp_path: Path, number: signal.Signals, without: Path
) -> None:
    """Sent to all of its processes at once, as a terminal does."""
    data, out, work = tmp_path / "data", tmp_path / "out", tmp_path / "work"
    pack_cache(small_cache("encodec_24khz", tmp_path / "cache"), data, noise_db=45)
    work.mkdir()
    flags = [
        *SMALL.split(),
        "--start-from",
        str(narrow_weights(tmp_path / "w")),
        "--log-every",
        "1",
    ]
    command = ["bash", str(SCRIPT), "5", "--data", str(data), "--out", str(out), "--device", "cpu"]
    with subprocess.Popen(
        [*command, "--", *flags],
        env=environment(without) | {"TMPDIR": str(work)},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        # A test run behind `nohup` or `&` ignores some signals, and its children with it.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    ) as process:
        end = time.monotonic() + 120
        while not any(log.stat().st_size for log in work.glob("*/run/log.jsonl")):
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.1)
        os.killpg(process.pid, number)
        assert process.wait(60) == 0
    (part,) = out.glob("carry-*")
    assert read_parts([part])[1]["step"] > 0
    assert not list(work.glob("*/run"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "minutes"),
        (["ten", "--data", "x", "--out", "y"], "minutes"),
        (["0", "--data", "x", "--out", "y"], "0.1 minutes"),
        (["1", "--data", "x"], "--out"),
        (["1", "--data"], "--data wants"),
        (["1", "--data", "x", "--out", "y", "--carry", "--device", "cpu"], "--carry wants"),
        (["1", "--data", "x", "--out", "y", "--minutes", "3"], "--minutes"),
    ],
)
def test_wrong_arguments_are_exit_status_2(arguments: list[str], says: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert says in done.stderr


def test_a_file_that_is_no_part_is_refused(tmp_path: Path) -> None:
    (tmp_path / "part").write_text("nothing")
    out = tmp_path / "out"
    done = run("1", "--data", tmp_path, "--out", out, "--carry", tmp_path / "part")
    assert done.returncode == 1
    assert "encodec-train: " in done.stdout
    assert "part" in (out / "train.log").read_text()
