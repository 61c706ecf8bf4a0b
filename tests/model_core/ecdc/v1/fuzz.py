"""Mutants of small files through every reader.

The long form: `python -m tests.model_core.ecdc.v1.fuzz [COUNT] [SEED]`.

A reader may refuse a mutant with a `BitstreamError`. What it gives must be what was written, or, of
a file that ends early, the beginning of it. A whole chunk of another file of the same kind, with
the number that was due, is found by the index alone: it may pass where the index is not read, or
not held against all chunks.
"""

import argparse
import collections
import io
import random
import time
from collections.abc import Callable, Sequence

from model_core.config import CONFIGS
from model_core.ecdc import BitUnpacker, payload_bytes, read_header
from model_core.ecdc import Header as Version0
from model_core.ecdc.v1 import ChunkFile, Header, Salvage, drop_codebooks
from model_core.ecdc.v1.chunk import Chunk
from model_core.errors import BitstreamError
from tests.model_core.ecdc.v1 import forged
from tests.model_core.ecdc.v1.files import (
    MONO,
    STEREO,
    Example,
    example,
    memory_below,
    parsed,
    small,
)

FILES = [
    small(samples=9000),
    small(samples=5120, name="a.wav", gain=-1.5),
    small(STEREO, samples=47_600, chunk=1),
    small(samples=6000, lm=1),
    example(Header(MONO, 4, 0, 1), 320 * 40),
]
MOST_MEMORY = 2**26  # and ten times the file
INTERESTING = bytes([0, 1, 0x7F, 0x80, 0xEC, 0xED, 0xEE, 0xFF])


def mutant(draw: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """`data` after one to four changes of any kind."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 4))):
        place = draw.randrange(len(changed) + 1)
        size = min(draw.choice((1, 1, 2, 4, 8, 20, 60)), len(changed) - place)
        kind = draw.randrange(8)
        if kind == 0 and size:
            changed[place] ^= 1 << draw.randrange(8)
        elif kind == 1 and size:
            changed[place] = draw.choice(INTERESTING)
        elif kind == 2:
            changed[place : place + size] = draw.randbytes(size)
        elif kind == 3:
            del changed[place : place + size]
        elif kind == 4:
            changed[place:place] = draw.randbytes(size)
        elif kind == 5:
            source = draw.randrange(len(changed) + 1)
            changed[place:place] = changed[source : source + size]
        elif kind == 6:
            other = draw.choice(others)
            source = draw.randrange(len(other))
            changed[place : place + size] = other[source : source + size]
        else:
            del changed[place:]
    return bytes(changed)


CHUNKS = {chunk for file in FILES for chunk in file.chunks}


def check_chunks(file: Example, chunks: list[Chunk]) -> None:
    """Every one is the file's, or a whole one of another."""
    for chunk in chunks:
        if chunk not in file.chunks:
            assert chunk in CHUNKS


def read_forwards(file: Example, data: bytes, step: int) -> str:
    parser, chunks = parsed(data, step)
    check_chunks(file, chunks)
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    complete = parser.end()
    assert parser.header == file.header
    if complete:
        assert data == file.data
    return "whole" if complete else "beginning"


def read_randomly(file: Example, data: bytes, step: int) -> str:
    found = ChunkFile(io.BytesIO(data))
    assert found.header == file.header
    if found.complete:
        assert found.samples == file.samples
    chunks = list(found.chunks())
    check_chunks(file, chunks)
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    if found.complete:
        assert len(chunks) == len(file.chunks)
    return "whole" if found.complete else "beginning"


def read_damaged(file: Example, data: bytes, step: int) -> str:
    parts = list(Salvage(io.BytesIO(data), file.header if step else None))
    chunks = [part for part in parts if isinstance(part, Chunk)]
    numbers = [chunk.number for chunk in chunks]
    assert numbers == sorted(set(numbers))
    check_chunks(file, chunks)
    if len(parts) == len(chunks):
        assert len(chunks) == len(file.chunks)
    if chunks == file.chunks:
        return "whole"
    return "some chunks" if chunks else "no chunk"


def peel(file: Example, data: bytes, step: int) -> str:
    if file.header.lm:
        return "not tried"
    b"".join(drop_codebooks(io.BytesIO(data), 2))
    return "whole"


READERS: list[Callable[[Example, bytes, int], str]] = [
    read_forwards,
    read_randomly,
    read_damaged,
    peel,
]


def version_0(draw: random.Random) -> str:
    """A mutant of version 0, which has no checksum: an error, or codes of the header's length."""
    model, codebooks = draw.choice(((MONO, 4), (STEREO, 4)))
    header = Version0(model, draw.randint(1, 2000), codebooks, False)
    size = payload_bytes(CONFIGS[model], header)
    fo = io.BytesIO(mutant(draw, header.to_bytes() + draw.randbytes(size), [header.to_bytes()]))
    header = read_header(fo)
    if (name := header.model.split(":")[0]) not in CONFIGS:
        return "another model"
    needed = payload_bytes(CONFIGS[name], header)
    data = fo.read()
    if len(data) < needed or needed > 100_000:
        return "too short"
    unpacker = BitUnpacker(10)
    unpacker.feed(data)
    assert len(unpacker.pull(needed * 8 // 10)) == needed * 8 // 10
    return "codes"


def run(count: int, seed: int) -> collections.Counter[str]:
    """Try `count` mutants, a third of them with right checksums; how often which reader made what
    of them."""
    with forged.without_checksums():
        found = run_forged(count // 3, seed)
    return found + run_damaged(count - count // 3, seed)


def run_forged(count: int, seed: int) -> collections.Counter[str]:
    """Mutants that no checksum finds."""
    draw, files = random.Random(seed), forged.files()
    found: collections.Counter[str] = collections.Counter()
    for _ in range(count):
        data = mutant(draw, draw.choice(files), files)
        with memory_below(MOST_MEMORY + 10 * len(data)):
            for reader, result in forged.read_all(data):
                found[f"forged, {reader}: {result}"] += 1
    return found


def run_damaged(count: int, seed: int) -> collections.Counter[str]:
    """Mutants as damage makes them, of both versions."""
    draw = random.Random(seed)
    others = [file.data for file in FILES]
    found: collections.Counter[str] = collections.Counter()
    for _ in range(count):
        if draw.random() < 0.1:
            try:
                found[f"version 0: {version_0(draw)}"] += 1
            except BitstreamError:
                found["version 0: refused"] += 1
            continue
        file = draw.choice(FILES)
        data = mutant(draw, file.data, others)
        for reader in READERS:
            try:
                with memory_below(MOST_MEMORY + 10 * len(data)):
                    result = reader(file, data, draw.choice((0, 1, 7, 100)))
            except BitstreamError:
                result = "refused"
            found[f"{reader.__name__}: {result}"] += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=100_000)
    parser.add_argument("seed", type=int, nargs="?", default=1)
    arguments = parser.parse_args()
    began = time.monotonic()
    for what, count in sorted(run(arguments.count, arguments.seed).items()):
        print(f"{count:9,} {what}")  # noqa: T201
    print(f"{time.monotonic() - began:9.0f} s")  # noqa: T201


if __name__ == "__main__":
    main()
