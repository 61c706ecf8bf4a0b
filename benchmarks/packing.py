"""Packing an hour of codes: this project's packer beside the reference's, in one process.

python -m benchmarks.packing
"""

import io
import statistics
import time
from collections.abc import Callable

import numpy as np
from encodec.binary import BitPacker as ReferencePacker

from model_core.ecdc import BitPacker, BitUnpacker

RUNS = 5


def seconds(function: Callable[[], object]) -> float:
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    rng = np.random.default_rng(0)
    hour = rng.integers(0, 1024, 3600 * 75 * 32)
    minute = hour[: len(hour) // 60]
    packed = BitPacker(10).push(hour)

    def unpack() -> None:
        unpacker = BitUnpacker(10)
        unpacker.feed(packed)
        unpacker.pull(len(hour))

    def reference() -> None:
        packer = ReferencePacker(10, io.BytesIO())
        for value in minute.tolist():
            packer.push(value)
        packer.flush()

    ours = seconds(lambda: BitPacker(10).push(hour))
    theirs = 60 * seconds(reference)
    print(f"an hour at 24 kbps, median of {RUNS}")
    print(f"pack     {ours:7.3f} s   reference {theirs:7.1f} s   ratio {theirs / ours:.0f}")
    print(f"unpack   {seconds(unpack):7.3f} s")


if __name__ == "__main__":
    main()
