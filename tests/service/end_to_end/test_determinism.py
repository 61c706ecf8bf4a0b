"""The same input gives the same bytes: beside other streams, under load, in another process."""

import asyncio
import concurrent.futures
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest

from model_core.checkpoints import Registry
from model_core.checkpoints.load import load_lm, load_network
from model_core.codec import Codec, Compressor, Runner, run_now
from model_core.codec.codec_cache import codec_of
from model_core.codec.work import CPU, INLINE, Task
from model_core.engine import EngineOptions
from model_core.engine.cuda import CudaEngine
from model_core.nn.network import EncodecNetwork
from service.inference.scheduler import Scheduler
from service.metrics import Metrics
from tests.peers import signal
from tests.service.calls import compressed, samples_of
from tests.service.inference.queueing import CUDA
from tests.service.live import Live
from tests.service.process import SERVICE, started
from tests.service.sounds import encoded, wav


async def compressed_by_codec(
    codec: Codec, samples: np.ndarray, lm: bool, runner: Runner = INLINE
) -> bytes:
    """Header and payload of a stream, pushed in pieces of no particular length."""
    compressor = Compressor(codec, 6.0, lm, runner)
    payload = b""
    for piece in np.array_split(samples, 3, axis=1):
        payload += await compressor.push(piece)
    payload += await compressor.finish()
    return compressor.header.to_bytes() + payload


def on_device(name: str, weights: Path) -> Codec:
    """A codec with batches of four rows, whose tasks go to the workers of a device."""
    registry = Registry(str(weights))
    found = registry.find(name)
    model = load_network(found, EncodecNetwork)
    lm = None if found.lm is None else load_lm(registry.fetch_lm(found))
    codec = codec_of(model, lm, found.lm_header_name)
    engine = CudaEngine(model, "cpu", EngineOptions(max_batch=4))
    engine.blocks_at_once = 4
    codec.engine = engine
    codec.encode_task = Task("encode", codec.name, 4, engine.encode, CUDA)
    codec.decode_task = Task("decode", codec.name, 4, engine.decode, CUDA)
    return codec


def on_cpu(name: str, weights: Path) -> Codec:
    return Codec.load(name, str(weights))


@pytest.mark.anyio
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("load", "device"), [(on_cpu, CPU), (on_device, CUDA)])
async def test_streams_in_one_queue_do_not_change_each_others_bytes(
    weights: Path, load: Callable[[str, Path], Codec], device: str
) -> None:
    mono, stereo = load("encodec_24khz", weights), load("encodec_48khz", weights)
    streams = [
        (codec, signal(codec.config.channels, length, codec.config.sample_rate, seed).numpy(), lm)
        for codec, length, lm, seed in [
            (mono, 60_001, False, 1),
            (mono, 150_000, False, 7),
            (mono, 700, False, 2),
            (mono, 31_000, True, 3),
            (mono, 48_000, True, 4),
            (stereo, 110_000, False, 5),
            (stereo, 47_700, False, 6),
        ]
    ]
    alone = [run_now(compressed_by_codec(*stream)) for stream in streams]
    assert len(set(alone)) == len(alone)
    scheduler = Scheduler(3, device, Metrics())
    scheduler.start()
    try:
        together = await asyncio.gather(
            *(compressed_by_codec(*s, scheduler.stream()) for s in streams)
        )
    finally:
        await scheduler.stop()
    assert together == alone


def test_requests_at_the_same_time_get_the_bytes_they_get_alone(server: Live) -> None:
    kinds = [("encodec_24khz", False), ("encodec_24khz", True), ("encodec_48khz", False)]
    jobs = [(wav(1.7, seed=seed), model, lm) for seed in (1, 2) for model, lm in kinds]
    with server.client() as client:

        def once(job: tuple[bytes, str, bool]) -> bytes:
            audio, model, lm = job
            return compressed(client, audio, model=model, lm=lm)

        alone = [once(job) for job in jobs]
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            together = list(pool.map(once, jobs * 3))
    assert together == alone * 3
    assert len(set(alone)) == len(alone)
    server.wait_until_idle()


def test_another_server_process_gives_the_same_bytes(client: httpx.Client, weights: Path) -> None:
    with started(SERVICE, weights) as process, process.ready() as other:
        for model, lm in (("encodec_24khz", True), ("encodec_48khz", False)):
            audio = encoded("m4a")
            params: dict[str, str | float] = {"model": model, "lm": lm}
            file = compressed(other, audio, **params)
            assert file == compressed(client, audio, **params)
            back = other.post("/decompress", content=file)
            assert back.content == client.post("/decompress", content=file).content
            assert back.content == other.post("/roundtrip", content=audio, params=params).content
            assert samples_of(back.content).std() > 0
