"""Files with the language model: version 1 (in integers) beside version 0 and the reference.

python -m benchmarks.exact_lm [--model NAME ...] [--seconds S] [--bandwidth KBPS] [--runs N]

Seeded models and language models of the paper's size, one thread. Whole files: samples to bytes and
back, the networks included; all take turns. Then the entropy coding of version 1 alone.
"""

import argparse
import io
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median

import numpy as np
import torch

from model_core.codec import ChunkCompressor, Codec, iterate_now, open_stored, run_now
from model_core.codec.chunked import new_header
from model_core.codec.codec_cache import codec_of
from model_core.config import CONFIGS

from .clips import Clip
from .contenders import OURS, MissingContenderError
from .contenders.files import FileCodec, Samples, build_files
from .models import seeded_lm, seeded_model
from .table import Cell, Column, Table
from .timing import paired_ratio, take_turns

TABLE = Table(
    [
        Column("model", 13),
        Column("", 22),
        Column("contender", 14),
        Column("median s", 9, 3),
        Column("x real time", 11, 1),
        Column("version 1 is", 12),
    ]
)
EXACT = "ours, version 1"
_BUDGET = 300.0  # s


class ExactFiles:
    """Files of version 1 with the exact language model."""

    def __init__(self, codec: Codec):
        self._codec = codec

    @property
    def backend(self) -> str:
        return self._codec.engine.name

    def compress(self, samples: Samples, bandwidth: float) -> bytes:
        compressor = ChunkCompressor(self._codec, bandwidth, lm=True)
        return run_now(compressor.push(samples)) + run_now(compressor.finish())

    def decompress(self, file: bytes) -> Samples:
        blocks = open_stored(io.BytesIO(file)).audio(self._codec)
        return np.concatenate(list(iterate_now(blocks)), axis=1)


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exact_lm", description=__doc__)
    parser.add_argument("--model", nargs="+", choices=tuple(CONFIGS), default=list(CONFIGS))
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--bandwidth", type=float, default=6.0)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    print(TABLE.header())
    for name in given.model:
        _compare(name, given.seconds, given.bandwidth, given.runs)
    return 0


def _compare(name: str, seconds: float, bandwidth: float, runs: int) -> None:
    model, lm = seeded_model(name), seeded_lm(name)
    codec = codec_of(model, lm)
    contenders: dict[str, FileCodec] = {EXACT: ExactFiles(codec)}
    for other in (OURS, "reference"):
        try:
            found = build_files(other, model, lm, None)
        except MissingContenderError as error:
            print(f"{other} is left out: {error}", file=sys.stderr)
            continue
        if found is not None:
            contenders[other] = found
    samples = Clip(CONFIGS[name], seconds).whole()
    files = {n: c.compress(samples, bandwidth) for n, c in contenders.items()}
    for what, jobs in (
        ("compress", {n: partial(c.compress, samples, bandwidth) for n, c in contenders.items()}),
        ("decompress", {n: partial(c.decompress, files[n]) for n, c in contenders.items()}),
    ):
        _print(name, what, seconds, jobs, runs)
    exact = codec.require_lm().exact()
    books = codec.config.codebooks_for(bandwidth)
    chunks = _chunks(codec, samples, bandwidth)
    coded = [(data, c.shape[1]) for data, c in zip(exact.encode(chunks), chunks, strict=True)]
    alone = sum(c.shape[1] for c in chunks) / codec.config.frame_rate
    _print(name, "codes to bytes", alone, {EXACT: lambda: exact.encode(chunks)}, runs)
    _print(name, "bytes to codes", alone, {EXACT: lambda: exact.decode(coded, books)}, runs)
    one = {EXACT: lambda: [exact.decode([chunk], books) for chunk in coded]}
    _print(name, "bytes to codes, single", alone, one, runs)


def _chunks(codec: Codec, samples: Samples, bandwidth: float) -> list[np.ndarray]:
    """The codes of chunks as long as those of files."""
    plain = ChunkCompressor(codec, bandwidth)
    data = run_now(plain.push(samples)) + run_now(plain.finish())
    blocks = [block.codes for block in iterate_now(open_stored(io.BytesIO(data)).codes(codec))]
    if codec.config.segment is not None:
        return blocks
    codes = np.concatenate(blocks, axis=1)
    frames = new_header(codec, len(codes), lm=True).chunk
    return [codes[:, at : at + frames] for at in range(0, codes.shape[1], frames)]


def _print(
    model: str, what: str, seconds: float, jobs: Mapping[str, Callable[[], object]], runs: int
) -> None:
    times = take_turns(jobs, runs, _BUDGET)
    for name, took in times.items():
        faster = None if name == EXACT else f"{paired_ratio(took, times[EXACT]):.1f}x"
        cells: list[Cell] = [model, what, name, median(took), seconds / median(took), faster]
        print(TABLE.line(cells), flush=True)


if __name__ == "__main__":
    sys.exit(main())
