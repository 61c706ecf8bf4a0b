"""Training steps of the 24 kHz codec at full width on synthetic audio: the time of a step, without
and with discriminators, and in a whole run, which waits for its clips."""

import json
import math
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from model_core.training.codec.settings import CodecSettings
from model_core.training.codec.trainer import CodecTrainer
from model_core.training.data.cache import AUDIO, INDEX, AudioCache

from ..clips import sound
from .check import Check
from .report import Report

_MODEL, _RATE = "encodec_24khz", 24_000  # Hz
_BATCHES = (64, 32, 16, 8)
"""Clips of 1 s in a step: the first number that fits."""

_CACHE_SECONDS = 120
_STEPS = 12
_RUN_SECONDS = 8.0


def run(check: Check, report: Report) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = _cache(Path(folder) / "cache", 8 if check.quick else _CACHE_SECONDS)
        for judged in (False, True):
            what = f"training {'with' if judged else 'without'} discriminators"
            if report.in_time(what, 3):
                with report.part(what):
                    _first_that_fits(check, report, what, cache, Path(folder), judged)


def _first_that_fits(
    check: Check, report: Report, what: str, cache: AudioCache, folder: Path, judged: bool
) -> None:
    for batch in (2,) if check.quick else _BATCHES:
        trainer = None
        try:
            trainer = _trainer(check, cache, folder / f"{judged}-{batch}", batch, judged)
            _measure(check, report, f"{what}, {batch} clips of 1 s", trainer, batch)
        except torch.OutOfMemoryError as error:
            report.skipped(f"{what}, {batch} clips of 1 s", str(error).splitlines()[0])
        else:
            return
    report.failed(what, "no batch fits")


def _cache(folder: Path, seconds: int) -> AudioCache:
    """Synthetic recordings to train on, and one to validate with."""
    folder.mkdir()
    samples = sound(1, seconds * _RATE, _RATE)
    np.save(folder / AUDIO, (samples * 32767).clip(-32768, 32767).astype(np.int16))
    train = (seconds - 2) * _RATE
    recordings = [
        {"file": "a", "category": "speech", "split": "train", "start": 0, "length": train},
        {"file": "b", "category": "speech", "split": "valid", "start": train, "length": 2 * _RATE},
    ]
    (folder / INDEX).write_text(json.dumps({"sample_rate": _RATE, "recordings": recordings}))
    return AudioCache(folder, 1, _RATE)


def _trainer(
    check: Check, cache: AudioCache, folder: Path, batch: int, judged: bool
) -> CodecTrainer:
    settings = CodecSettings(
        model=_MODEL,
        n_filters=2 if check.quick else 32,
        batch=batch,
        quantise_from=0,
        kmeans_frames=1 if check.quick else 12_000,
        adversary_from=0 if judged else 1,
        adversary_filters=1 if check.quick else 32,
        save_every=10**6,
        evaluate_every=10**6,
    )
    return CodecTrainer(settings, cache, folder, check.device)


def _measure(check: Check, report: Report, what: str, trainer: CodecTrainer, batch: int) -> None:
    steps = 1 if check.quick else _STEPS
    if check.has_gpu:
        torch.cuda.reset_peak_memory_stats(check.device)
    clips = trainer.sampler.batch(0, batch).to(check.device)
    for _ in range(1 if check.quick else 4):  # algorithms are chosen, codebooks filled
        trainer.train_step(clips)
    times: list[float] = []
    losses: dict[str, Any] = {}
    for _ in range(steps):
        seconds, losses = _timed(check, lambda: trainer.train_step(clips))
        times.append(seconds)
    alone = median(times)
    finite = all(math.isfinite(float(value)) for value in losses.values())
    memory = torch.cuda.max_memory_reserved(check.device) if check.has_gpu else 0
    report.check(
        what,
        finite,
        f"{1000 * alone:.1f} ms a step, {batch / alone:.0f} audio-seconds a second,"
        f" {memory / 2**30:.1f} GiB; losses {'finite' if finite else 'NOT finite'}",
        step_ms=1000 * alone,
        memory=memory,
        losses={name: float(value) for name, value in losses.items()},
    )
    drawn = median(
        _timed(check, partial(trainer.sampler.batch, n, batch))[0] for n in range(1 + steps // 4)
    )
    report.done(f"{what}, drawing them", f"{1000 * drawn:.1f} ms a batch", draw_ms=1000 * drawn)
    in_run = _in_a_run(check, trainer)
    if in_run is not None:
        waiting = max(0.0, 1 - alone / in_run)
        report.done(
            f"{what}, in a run",
            f"{1000 * in_run:.1f} ms from step to step, {waiting:.0%} of it waiting",
            step_ms=1000 * in_run,
            waiting=waiting,
        )


def _timed(check: Check, function: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds until the device has finished, and the result."""
    check.wait()
    began = time.perf_counter()
    given = function()
    check.wait()
    return time.perf_counter() - began, given


def _in_a_run(check: Check, trainer: CodecTrainer) -> float | None:
    """Seconds from one step to the next in an ordinary run; None after too few steps."""
    starts: list[float] = []
    step = trainer.train_step

    def noted(clips: torch.Tensor | None = None) -> Any:
        starts.append(time.perf_counter())
        return step(clips)

    trainer.train_step = noted  # type: ignore[method-assign]
    trainer.run(stop_after=0.5 if check.quick else _RUN_SECONDS)
    settled = starts[min(3, len(starts) // 2) :]
    return None if len(settled) < 2 else (settled[-1] - settled[0]) / (len(settled) - 1)
