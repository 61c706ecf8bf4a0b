"""Decodes files into the samples of a cache, in several processes.

Each process writes its own file of interleaved int16 samples. They are appended to the cache in
order: memory stays small, and the result does not depend on which process is first.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.context import BaseContext
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ...config import ModelConfig
from ...errors import InvalidAudioError
from .cache import AUDIO
from .listing import Listed
from .sample_file import SampleFile

SHORTEST = 0.2  # s
_AUDIBLE = 16  # of 32768: a recording with no larger sample is silence (-66 dBFS)


@dataclass(frozen=True)
class Decoded:
    """The number of samples per channel, or why the file is skipped."""

    length: int
    reason: str | None = None


def decode_file(path: Path, out: Path, sample_rate: int, channels: int) -> Decoded:
    """Decode `path` to `out`, int16 `[N, C]`, in blocks of a second.

    A file that is not audio, truncated, shorter than 0.2 s or silent returns the reason and leaves
    no `out`.
    """
    from ...audio import open_audio  # a machine that only trains has no PyAV

    length = peak = 0
    try:
        with out.open("wb") as file, open_audio(path, sample_rate, channels) as source:
            for block in source:
                samples = np.clip(np.rint(block * 32768), -32768, 32767).astype("<i2")
                peak = max(peak, int(samples.max()), -int(samples.min()))
                length += samples.shape[1]
                file.write(samples.T.tobytes())
    except InvalidAudioError as error:
        out.unlink()
        return Decoded(0, str(error))
    reason = None
    if length < SHORTEST * sample_rate:
        reason = f"shorter than {SHORTEST:g} s"
    elif peak <= _AUDIBLE:
        reason = "silence"
    if reason:
        out.unlink()
    return Decoded(length, reason)


def decode_all(
    listed: Sequence[Listed], work: Path, config: ModelConfig, jobs: int
) -> list[Decoded]:
    """Decode every file and append its samples to `work`/audio.npy, in order.

    The samples have the model's rate and channels; `jobs` processes decode. Returns the result of
    each file.
    """
    results = []
    with SampleFile(work / AUDIO, config.channels) as audio:
        done = _each_decoded(listed, work, config, jobs)
        for part, decoded in tqdm(done, total=len(listed), unit="file", desc="decoding"):
            if not decoded.reason:
                audio.append(part)
                part.unlink()
            results.append(decoded)
    return results


def _each_decoded(
    listed: Sequence[Listed], work: Path, config: ModelConfig, jobs: int
) -> Iterator[tuple[Path, Decoded]]:
    tasks = (
        (entry.path, work / f"{number}.pcm", config.sample_rate, config.channels)
        for number, entry in enumerate(listed)
    )
    if jobs == 1:
        for task in tasks:
            yield task[1], decode_file(*task)
        return
    with ProcessPoolExecutor(jobs, mp_context=_process_context()) as pool:
        waiting: list[tuple[Path, Future[Decoded]]] = []
        while True:
            for task in islice(tasks, 4 * jobs - len(waiting)):
                waiting.append((task[1], pool.submit(decode_file, *task)))
            if not waiting:
                return
            part, future = waiting.pop(0)
            yield part, future.result()


def _process_context() -> BaseContext:
    """Clean processes: spawned ones, or forks of a server with nothing but the imports."""
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(["model_core.audio", decode_file.__module__])
    return context
