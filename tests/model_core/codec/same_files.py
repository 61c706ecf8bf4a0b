"""Files of version 1 with the language model are the same wherever they are made, and are read
everywhere.

The long form: `python -m tests.model_core.codec.same_files [PYTHON ...]`. Each interpreter, this
one and those given (with other releases of torch), codes the same codes with the bundled language
models, in a process for each level of the processor that torch can be held to. There it does so
with every build of the native code and with torch, on one thread and on two, chunk by chunk and
sixteen chunks at a time. Ends with 1 if any two results differ.
"""

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from model_core.checkpoints import shared_registry
from model_core.checkpoints.read import read_lm
from model_core.codec import ChunkCompressor, Codec, iterate_now, open_stored, run_now, transcode
from model_core.codec.codec import LanguageModel
from model_core.engine import EngineOptions
from model_core.engine.native.library import BUILDS, find_library
from model_core.entropy import ExactLM
from model_core.entropy.integer_lm import IntegerLM
from model_core.entropy.quantize import quantize
from model_core.entropy.torch_coder import TorchCoder
from tests.signals import signal

SECONDS = {"encodec_24khz": 1.0, "encodec_48khz": 1.1}
"""Of audio: a chunk, and two."""
CAPABILITIES = ("default", "avx2", "")
"""Of `ATEN_CPU_CAPABILITY`; empty: what the processor has."""
BANDWIDTH = 3.0
BATCH = 16
FRAMES = 8
"""Of each chunk in a batch."""

Results = dict[str, str]


def write_plain(folder: Path) -> None:
    """A file of each model without the language model: the codes that all are to code."""
    for name, seconds in SECONDS.items():
        codec = Codec.load(name, "bundled")
        rate, channels = codec.config.sample_rate, codec.config.channels
        x = signal(channels, round(seconds * rate), rate, seed=13).numpy()
        compressor = ChunkCompressor(codec, BANDWIDTH)
        data = run_now(compressor.push(x)) + run_now(compressor.finish())
        (folder / f"{name}.ecdc").write_bytes(data)


def builds() -> list[str]:
    """Of the native code, those that run here; and torch."""
    return [*(build for build in BUILDS if find_library(build) is not None), "torch"]


def results_here(folder: Path) -> Results:
    """A digest of what this process makes of the files in `folder`, for each way to make it.

    Raises `AssertionError` where it does not read what it wrote.
    """
    found: Results = {}
    for name in SECONDS:
        plain = (folder / f"{name}.ecdc").read_bytes()
        registry = shared_registry("bundled")
        lm = registry.fetch_lm(registry.find(name))
        integers = quantize(read_lm(lm), lm.config)
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for build in builds():
                way = f"{name}, {build}, {threads} threads"
                found[way] = _digest([_file(name, plain, integers, build, threads)])
                found[f"{way}, chunks"] = _digest(_chunks(integers, build, threads))
    return found


def _file(name: str, plain: bytes, integers: IntegerLM, build: str, threads: int) -> bytes:
    """The file with the language model, by transcoding; transcoded back it is the plain one."""
    backend = build if build == "torch" else f"native-{build}"
    codec = Codec.load(name, "bundled", options=EngineOptions(backend, threads=threads))
    exact = ExactLM(integers, build)
    given = codec.require_lm()
    codec = codec.with_lm(LanguageModel(given.name, given.model, lambda: exact))
    coded = _transcoded(codec, plain, lm=True)
    assert len(coded) < len(plain)
    assert _transcoded(codec, coded, lm=False) == plain, (name, build, threads)
    return coded


def _transcoded(codec: Codec, data: bytes, lm: bool) -> bytes:
    stored = open_stored(io.BytesIO(data))
    return b"".join(iterate_now(transcode(codec, stored, 1, stored.num_codebooks, lm)))


def _chunks(integers: IntegerLM, build: str, threads: int) -> list[bytes]:
    """Chunks of random codes, coded one by one and all at once."""
    random = np.random.default_rng(5)
    chunks = list(random.integers(0, 1024, (BATCH, 4, FRAMES)))
    exact = ExactLM(integers, build)
    alone = [exact.encode([codes])[0] for codes in chunks]
    framed = [(data, FRAMES) for data in alone]
    _check_same([exact.decode([one], 4)[0] for one in framed], chunks)
    if build == "torch":
        _check_same(TorchCoder(integers).decode(alone, 4, FRAMES), chunks)
    else:
        assert exact.encode(chunks, threads) == alone
        _check_same(exact.decode(framed, 4, threads), chunks)
    return alone


def _check_same(found: Iterable[np.ndarray | None], codes: Sequence[np.ndarray]) -> None:
    for some, wanted in zip(found, codes, strict=True):
        assert some is not None
        assert np.array_equal(some, wanted)


def _digest(parts: list[bytes]) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def results_of(python: str, capability: str, folder: Path) -> tuple[str, Results]:
    """The release of torch that another interpreter has, and its `results_here`."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    environment.pop("ATEN_CPU_CAPABILITY", None)
    if capability:
        environment["ATEN_CPU_CAPABILITY"] = capability
    command = [python, "-m", __spec__.name if __spec__ else __name__, "--in", str(folder)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    release, results = json.loads(done.stdout)
    return release, results


def compare(pythons: list[str]) -> Iterator[tuple[str, bool]]:
    """What was tried, and whether all results so far agree."""
    by_model: dict[str, set[str]] = {}
    with tempfile.TemporaryDirectory() as name:
        write_plain(folder := Path(name))
        for python in pythons:
            for capability in CAPABILITIES:
                release, results = results_of(python, capability, folder)
                for way, digest in results.items():
                    what = way.split(",")[0], way.endswith("chunks")
                    by_model.setdefault(str(what), set()).add(digest)
                held = all(len(digests) == 1 for digests in by_model.values())
                tried = f"torch {release}, capability {capability or 'all'}: {len(results)} ways"
                yield tried, held


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pythons", nargs="*", metavar="PYTHON")
    parser.add_argument("--in", dest="folder", type=Path, help="say what this process makes")
    given = parser.parse_args()
    if given.folder is not None:
        print(json.dumps([torch.__version__, results_here(given.folder)]))
        return 0
    held = True
    for tried, held in compare([sys.executable, *given.pythons]):
        print(f"{tried}: {'the same' if held else 'DIFFERENT'}", flush=True)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
