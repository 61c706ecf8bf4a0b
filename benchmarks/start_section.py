"""Section `start`: how long a command on a short clip and the start of the service take.

Real processes, one after another, taking turns. The reference's command loads the same weights from
a file, and reads the WAV without torchaudio, which needs another package for that.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from model_core.audio import pcm16, wav_header
from model_core.checkpoints.save import save_weights
from model_core.model import EncodecModel

from .clips import Clip
from .contenders import OURS
from .memory import resident
from .models import seeded_model
from .plan import DEFAULT_BANDWIDTH, Plan
from .results import Row, Section
from .serving import decoders, servers
from .table import Column, Table
from .timing import paired_ratio, take_turns

_CLIP_SECONDS = 1.0
_SETTLED = 2.0  # s after which a server that is ready counts as idle
_REFERENCE = "reference"
_ROOT = Path(__file__).parent.parent

# As `python -m encodec`, with the weights and the WAV that argv names first.
_REFERENCE_COMMAND = """
import sys, wave
import numpy, torch, torchaudio
weights, clip = sys.argv.pop(1), sys.argv[-2]
torch.hub.load_state_dict_from_url = lambda *_, **__: torch.load(weights, weights_only=True)
def load(path):
    with wave.open(str(path)) as file:
        data, channels = file.readframes(file.getnframes()), file.getnchannels()
        samples = numpy.frombuffer(data, "<i2").reshape(-1, channels).T / 32768
        return torch.from_numpy(samples.astype("float32")), file.getframerate()
torchaudio.load = load
from encodec.__main__ import main
main()
"""

TABLE = Table(
    [
        Column("model", 13),
        Column("what", 24),
        Column("contender", 10),
        Column("runs", 4, 0),
        Column("median s", 8, 2),
        Column("reference / ours", 16, 1),
        Column("idle MiB", 8, 0),
        Column("its decoder's", 13, 0),
    ]
)


def run(plan: Plan, section: Section) -> Iterator[Row]:
    """For each model, the command of both, at full width; then the service with all models and the
    bundled weights, started anew for each run. Raises `ServerError` where it does not come up."""
    runs = max(5, plan.runs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model in plan.models:
            yield from _commands(seeded_model(model), folder, runs, section)
    yield _service(plan.models, runs)


def _commands(model: EncodecModel, folder: Path, runs: int, section: Section) -> Iterator[Row]:
    config = model.config
    save_weights(model, folder, torch.float32)
    samples = Clip(config, _CLIP_SECONDS).whole()
    clip, file = folder / f"{config.name}.wav", folder / "clip.ecdc"
    clip.write_bytes(wav_header(config.sample_rate, *samples.shape) + pcm16(samples))
    wanted = ["-f", "-b", str(DEFAULT_BANDWIDTH), *(["--hq"] if config.channels == 2 else [])]
    arguments = [*wanted, str(clip), str(file)]
    jobs = {OURS: _job(["-m", "model_core", "--weights", str(folder), *arguments])}
    if find_spec("encodec") is None:
        section.note("the reference is left out: encodec 0.1.1 is not installed")
    else:
        weights = folder / "reference.th"
        torch.save(model.state_dict(), weights)
        jobs[_REFERENCE] = _job(["-c", _REFERENCE_COMMAND, str(weights), *arguments])
    for job in jobs.values():
        job()
    times = take_turns(jobs, runs, float("inf"))
    for contender, seconds in times.items():
        ratio = None
        if contender == OURS and _REFERENCE in times:
            ratio = paired_ratio(times[_REFERENCE], seconds)
        what = f"command, {_CLIP_SECONDS:g} s clip"
        yield _row(config.name, what, contender, seconds, ratio)


def _job(arguments: Sequence[str]) -> Callable[[], object]:
    command = [sys.executable, *arguments]
    return lambda: subprocess.run(command, cwd=_ROOT, check=True, capture_output=True)


def _service(models: Sequence[str], runs: int) -> Row:
    """From the start of the process until `/health/ready` answers 200, and what it holds then."""
    seconds: list[float] = []
    held: list[tuple[int, int]] = []
    for _ in range(runs):
        began = time.perf_counter()
        with servers.bundled(models) as server:
            seconds.append(time.perf_counter() - began)
            time.sleep(_SETTLED)
            held.append((resident(server.pid), resident(decoders.fork_server(server.pid))))
    row = _row(" ".join(models), "service, until ready", OURS, seconds, None)
    row["resident_bytes"] = statistics.median(server for server, _ in held)
    row["decoder_resident_bytes"] = statistics.median(decoder for _, decoder in held)
    return row


def _row(model: str, what: str, contender: str, seconds: list[float], ratio: float | None) -> Row:
    return {
        "model": model,
        "what": what,
        "contender": contender,
        "runs": len(seconds),
        "seconds": statistics.median(seconds),
        "reference_over_ours": ratio,
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }


def cells(row: Row) -> list[Any]:
    """A row as `TABLE` prints it."""
    server, decoder = row.get("resident_bytes"), row.get("decoder_resident_bytes")
    return [
        "both" if " " in row["model"] else row["model"],
        row["what"],
        row["contender"],
        row["runs"],
        row["seconds"],
        row["reference_over_ours"],
        None if server is None else server / 2**20,
        None if decoder is None else decoder / 2**20,
    ]
