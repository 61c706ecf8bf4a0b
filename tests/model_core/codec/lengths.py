"""Audio of every length comes back: `python -m tests.model_core.codec.lengths [LAST] [SEED]`.

Both versions, both models, with the language model and without; each length from 1 to LAST (5,000)
samples, and random longer ones, of which random parts are decoded too. Narrow networks. What is
decoded must be what the engine makes of the samples in one piece, and a part the same part of it.
"""

import argparse
import io
import time
from collections.abc import Iterator
from itertools import product

import numpy as np
import torch

from model_core.codec import (
    ChunkCompressor,
    Codec,
    Compressor,
    iterate_now,
    open_stored,
    run_now,
)
from model_core.codec.seeking import RESTART
from model_core.ecdc import segments
from model_core.engine import DecodeItem, EncodeItem
from model_core.nn.network import linear_overlap_add
from tests.model_core.codec.narrow import narrow_codec
from tests.peers import NAMES, signal

BANDWIDTH = 3.0
LONGER = 40
"""Random lengths, and as many parts of each."""
LONGEST = 12  # s


def file_of(codec: Codec, x: np.ndarray, version: int, lm: bool) -> bytes:
    """A file of samples `[C, n]`."""
    if version == 1:
        chunks = ChunkCompressor(codec, BANDWIDTH, lm)
        return run_now(chunks.push(x)) + run_now(chunks.finish())
    compressor = Compressor(codec, BANDWIDTH, lm)
    payload = run_now(compressor.push(x)) + run_now(compressor.finish())
    return compressor.header.to_bytes() + payload


def audio_of(codec: Codec, file: bytes, start: int = 0, end: int | None = None) -> np.ndarray:
    """Its samples `[C, n]` from `start` up to `end`."""
    blocks = open_stored(io.BytesIO(file)).audio(codec, start=start, end=end)
    return np.concatenate(list(iterate_now(blocks)), axis=1)


def in_one_piece(codec: Codec, x: np.ndarray) -> np.ndarray:
    """What the engine makes of `x` and back: without streams or files."""
    books = codec.config.codebooks_for(BANDWIDTH)
    decoded: list[np.ndarray] = []
    for segment in segments(codec.config, x.shape[1]):
        samples = np.ascontiguousarray(x[:, segment.offset : segment.offset + segment.samples])
        (block,) = codec.engine.encode([EncodeItem(samples, books, last=True)])
        decoded += codec.engine.decode([DecodeItem(block, last=True)])
    if codec.config.segment_stride is None:
        return decoded[0][:, : x.shape[1]]
    pieces = [torch.from_numpy(samples)[None] for samples in decoded]
    joined: np.ndarray = linear_overlap_add(pieces, codec.config.segment_stride)[0].numpy()
    return joined[:, : x.shape[1]]


def check_length(codec: Codec, x: np.ndarray, version: int, lm: bool) -> bytes:
    """The file of `x`. Raises `AssertionError` where other audio comes back."""
    file = file_of(codec, x, version, lm)
    found, wanted = audio_of(codec, file), in_one_piece(codec, x)
    where = codec.name, version, lm, x.shape
    assert found.shape == x.shape, where
    assert np.array_equal(found, wanted), where
    return file


def check_parts(codec: Codec, file: bytes, parts: Iterator[tuple[int, int]]) -> int:
    """How many parts were the same part of the whole. Raises `AssertionError` for another one."""
    whole, count = audio_of(codec, file), 0
    for start, end in parts:
        assert np.array_equal(audio_of(codec, file, start, end), whole[:, start:end]), (start, end)
        count += 1
    return count


def random_parts(draw: np.random.Generator, samples: int, count: int) -> Iterator[tuple[int, int]]:
    """Where parts begin and end."""
    for _ in range(count):
        start = int(draw.integers(samples))
        yield start, int(draw.integers(start, samples)) + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("last", type=int, nargs="?", default=5000)
    parser.add_argument("seed", type=int, nargs="?", default=1)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name, version, lm in product(NAMES, (0, 1), (False, True)):
        began, draw = time.monotonic(), np.random.default_rng(given.seed)
        codec = narrow_codec(name)
        rate, channels = codec.config.sample_rate, codec.config.channels
        x = signal(channels, LONGEST * rate, rate, seed=given.seed).numpy()
        for length in range(1, given.last + 1):
            check_length(codec, x[:, :length], version, lm)
        parts = 0
        longest = rate if lm and version == 0 else LONGEST * rate
        for length in draw.integers(given.last, longest, LONGER):
            file = check_length(codec, x[:, :length], version, lm)
            some = 2 if lm and version == 0 else LONGER
            parts += check_parts(codec, file, random_parts(draw, int(length), some))
        if version == 1:  # beyond where decoding begins anew
            long = np.tile(x, 12)[:, : (2 * RESTART + 600) * codec.config.hop_length]
            file = file_of(codec, long, version, lm)
            parts += check_parts(codec, file, random_parts(draw, long.shape[1], 10))
        print(
            f"{name}, version {version}, {'with' if lm else 'without'} language model: "
            f"{given.last:,} lengths and {LONGER} longer ones, {parts:,} parts: all the same "
            f"({time.monotonic() - began:.0f} s)",
            flush=True,
        )


if __name__ == "__main__":
    main()
