"""The same input gives the same bytes, whatever else goes through the queue."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from model_core.codec import Codec, Compressor, Steps, run_steps
from model_core.codec.work import CPU
from service.metrics import Metrics
from service.scheduler import Scheduler
from tests.peers import signal


def compressed(codec: Codec, samples: np.ndarray, lm: bool) -> Steps[bytes]:
    """Header and payload of a stream, pushed in pieces of no particular length."""
    compressor = Compressor(codec, 6.0, lm)
    payload = b""
    for piece in np.array_split(samples, 3, axis=1):
        payload += yield from compressor.push(piece)
    payload += yield from compressor.finish()
    return compressor.header.to_bytes() + payload


@pytest.mark.usefixtures("one_thread")
def test_streams_that_share_the_queue_do_not_share_results(weights: Path) -> None:
    mono = Codec.load("encodec_24khz", str(weights))
    stereo = Codec.load("encodec_48khz", str(weights))
    streams = [
        (codec, signal(codec.config.channels, length, codec.config.sample_rate, seed).numpy(), lm)
        for codec, length, lm, seed in [
            (mono, 60_001, False, 1),
            (mono, 700, False, 2),
            (mono, 31_000, True, 3),
            (mono, 48_000, True, 4),
            (stereo, 110_000, False, 5),
            (stereo, 47_700, False, 6),
        ]
    ]
    alone = [run_steps(compressed(*stream)) for stream in streams]
    assert len(set(alone)) == len(alone)

    async def together() -> list[bytes]:
        scheduler = Scheduler(3, CPU, Metrics())
        scheduler.start()
        try:
            return await asyncio.gather(*(scheduler.drive(compressed(*s)) for s in streams))
        finally:
            await scheduler.stop()

    assert asyncio.run(together()) == alone
