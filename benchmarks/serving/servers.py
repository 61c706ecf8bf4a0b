"""Both servers as processes, with the same weights."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import httpx
import torch

from model_core.checkpoints.save import save_weights
from model_core.ecdc import ModelName
from model_core.model import EncodecModel

PLAIN = "plain wrapper"
OURS = "ours"
ROOT = Path(__file__).parents[2]
"""The checkout."""
_PATIENCE = 120  # s to become ready
_GRACE = 15  # s to end
_URL = re.compile(r"http://127\.0\.0\.1:\d+")


class ServerError(Exception):
    """A server did not start."""


@dataclass(frozen=True)
class Server:
    """A running server. `header_model` is the name of its weights in an `.ecdc` file."""

    name: str
    url: str
    pid: int
    model: str
    header_model: str

    def call(self, name: str) -> str:
        """The URL of `compress` or `decompress` for its model. (The wrapper has one model and no
        parameters.)"""
        return f"{self.url}/{name}" + (f"?model={self.model}" if name == "compress" else "")


@contextmanager
def ours(model: EncodecModel, backend: str | None) -> Iterator[Server]:
    """This project's service, with its defaults. Raises `ServerError`."""
    with tempfile.TemporaryDirectory() as folder:
        path = save_weights(model, Path(folder), torch.float32)
        name = model.config.name
        command = ["-m", "service", "--port", "0", "--device", "cpu"]
        command += ["--weights", folder, "--models", name]
        if backend is not None:
            command += ["--backend", backend]
        header_model = str(ModelName(name, path.stem.rpartition("-")[2]))
        with _running(OURS, command, Path(folder) / "log", name, header_model) as server:
            yield server


@contextmanager
def of_folder(folder: Path, model: str, header_model: str, threads: int) -> Iterator[Server]:
    """This project's service with the weights in `folder`. Raises `ServerError`."""
    command = ["-m", "service", "--port", "0", "--device", "cpu", "--threads", str(threads)]
    command += ["--weights", str(folder), "--models", model]
    with (
        tempfile.TemporaryDirectory() as other,
        _running(OURS, command, Path(other) / "log", model, header_model) as server,
    ):
        yield server


@contextmanager
def bundled(
    models: Sequence[str], flags: Sequence[str] = (), root: Path = ROOT
) -> Iterator[Server]:
    """This project's service with the bundled weights, or that of another checkout at `root`.
    Raises `ServerError`."""
    command = ["-m", "service", "--port", "0", "--device", "cpu"]
    command += ["--weights", "bundled", "--models", ",".join(models), *flags]
    with (
        tempfile.TemporaryDirectory() as folder,
        _running(OURS, command, Path(folder) / "log", models[0], models[0], root) as server,
    ):
        yield server


@contextmanager
def plain(model: EncodecModel, bandwidth: float) -> Iterator[Server]:
    """The wrapper of `plain`. Raises `ServerError`."""
    if find_spec("encodec") is None:
        raise ServerError("encodec 0.1.1 is not installed")
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.th"
        torch.save(model.state_dict(), weights)
        name = model.config.name
        command = ["-m", "benchmarks.serving.plain", name, str(weights), str(bandwidth)]
        with _running(PLAIN, command, Path(folder) / "log", name, name) as server:
            yield server


@contextmanager
def _running(
    name: str,
    command: Sequence[str],
    log: Path,
    model: str,
    header_model: str,
    root: Path = ROOT,
) -> Iterator[Server]:
    """Starts a server, waits until it is ready, and stops it at the end. It uses its default number
    of threads."""
    left_out = "OMP_NUM_THREADS", "PYTHONPATH"  # another checkout has its own modules
    environment = {k: v for k, v in os.environ.items() if k not in left_out}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=root, env=environment, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield Server(name, _wait(process, log), process.pid, model, header_model)
    finally:
        process.terminate()
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", log: Path) -> str:
    """Waits until the server is ready; returns its URL."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and process.poll() is None:
        said = _URL.search(log.read_text(errors="replace"))
        if said is not None and is_ready(said[0]):
            return said[0]
        time.sleep(0.02)
    raise ServerError(f"not ready; the end of its log: {log.read_text(errors='replace')[-1000:]}")


def is_ready(url: str) -> bool:
    """Whether a service takes work. (Without TLS, for which all certificate authorities would be
    read each time.)"""
    try:
        return httpx.get(f"{url}/health/ready", verify=False).status_code == 200
    except httpx.TransportError:
        return False
