import asyncio
import contextlib
import io
import os
import resource
import signal
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_core.audio import RawFormat, open_audio
from model_core.errors import AudioTooLongError, InvalidAudioError
from service.decoder.decoder import Decoder
from service.decoder.pool import DecoderPool
from service.decoder.protocol import DecodeRequest, DecoderError, Source
from tests.media import Floats, encode, float_wav, tagged, tone
from tests.service.decoder.processes import TIMEOUT, decoding, names

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(TIMEOUT)]


@pytest.fixture(scope="module")
def spool_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spool")


@pytest.fixture(scope="module")
async def started(spool_dir: Path) -> AsyncIterator[DecoderPool]:
    made = DecoderPool(spool_dir)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENCODEC_API_KEY", "very-secret")
        await made.start()
    yield made
    await made.close()


@pytest.fixture
async def pool(started: DecoderPool) -> DecoderPool:
    while child_pids(started):  # noqa: ASYNC110 - of the test before, on its way out
        await asyncio.sleep(0.005)
    return started


async def decode(
    pool: DecoderPool,
    data: bytes,
    rate: int = 24_000,
    channels: int = 1,
    chunk: int = 10_000,
    **options: Any,
) -> Floats:
    async with pool.open(DecodeRequest(rate, channels, **options)) as decoder:
        feeding = asyncio.create_task(feed(decoder, data, chunk))
        try:
            return np.concatenate([block async for block in decoder.blocks()], axis=1)
        finally:
            feeding.cancel()


async def feed(decoder: Decoder, data: bytes, chunk: int = 10_000) -> None:
    for start in range(0, len(data), chunk):
        await decoder.feed(data[start : start + chunk])
    await decoder.end_of_input()


def fork_server_pid(pool: DecoderPool) -> int:
    assert pool._fork_server is not None
    return pool._fork_server.pid


def child_pids(pool: DecoderPool) -> set[int]:
    return decoding(fork_server_pid(pool))


async def new_child(pool: DecoderPool, old: frozenset[int] | set[int] = frozenset()) -> int:
    """The child that is not among `old`, once it has been forked and has confined itself."""
    while not (new := child_pids(pool) - old):  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.01)
    (pid,) = new
    await settled(pid)
    return pid


@cache
def files() -> dict[str, bytes]:
    stereo = tone(1.5, 44_100, 2)
    return {
        "wav s16": encode(stereo, 44_100, "wav", "pcm_s16le"),
        "wav s24 44101": encode(tone(1.5, 44_101, 2), 44_101, "wav", "pcm_s24le"),
        "wav f32 8 kHz": float_wav(tone(1.5, 8_000), 8_000),
        "wav u8": encode(stereo, 44_100, "wav", "pcm_u8"),
        "flac 96 kHz": encode(tone(1.5, 96_000, 2), 96_000, "flac", "flac"),
        "mp3": encode(stereo, 44_100, "mp3", "libmp3lame"),
        "ogg opus": encode(tone(1.5, 48_000, 2), 48_000, "ogg", "libopus"),
        "m4a, index at the end": encode(stereo, 44_100, "ipod", "aac"),
        "5.1": encode(tone(1.5, 48_000, 6), 48_000, "wav", "pcm_s16le", layout="5.1"),
    }


@pytest.mark.parametrize("name", files())
@pytest.mark.parametrize(("rate", "channels"), [(24_000, 1), (48_000, 2)])
async def test_the_samples_are_those_of_decoding_in_this_process(
    pool: DecoderPool, name: str, rate: int, channels: int
) -> None:
    data = files()[name]
    want = np.concatenate(list(open_audio(io.BytesIO(data), rate, channels)), axis=1)
    assert np.array_equal(await decode(pool, data, rate, channels), want)
    known = await decode(pool, data, rate, channels, chunk=777, size=len(data))
    assert np.array_equal(known, want)


async def test_raw_samples_are_decoded(pool: DecoderPool) -> None:
    data = np.rint(tone(1.0, 8_000, 2) * 32767).T.astype(">i2").tobytes()
    raw = RawFormat(8_000, 2)
    want = np.concatenate(list(open_audio(io.BytesIO(data), 24_000, 1, raw=raw)), axis=1)
    assert np.array_equal(await decode(pool, data, raw=raw), want)


@pytest.mark.parametrize(
    ("container", "codec"),
    [("wav", "pcm_s16le"), ("flac", "flac"), ("mp3", "libmp3lame"), ("ogg", "libopus")],
)
async def test_blocks_come_while_the_upload_arrives(
    pool: DecoderPool, container: str, codec: str
) -> None:
    """The rest is only sent when a block of the first part has been received."""
    data = encode(tone(20.0, 48_000, 2), 48_000, container, codec)
    part = len(data) * 3 // 4

    async with pool.open(DecodeRequest(24_000, 1)) as decoder:
        await feed_without_end(decoder, data[:part])
        blocks = decoder.blocks()
        assert (await anext(blocks)).shape == (1, 24_000)
        await feed(decoder, data[part:])
        rest = sum([block.shape[1] async for block in blocks])
        assert abs(rest - 19 * 24_000) < 2_000


async def test_a_decoder_says_what_the_recording_had(pool: DecoderPool) -> None:
    data = tagged("flac", "flac", tone(1.2, 44_100, 2), 44_100, {"title": "é", "x": "y"})
    async with pool.open(DecodeRequest(24_000, 1)) as decoder:
        await feed(decoder, data)
        blocks = decoder.blocks()
        assert (await anext(blocks)).shape == (1, 24_000)
        assert decoder.source == Source(44_100, 2, (("TITLE", "é"),), 1.2)
        assert [block.shape async for block in blocks] == [(1, 4_800)]
        assert decoder.source_samples == 52_920


async def feed_without_end(decoder: Decoder, data: bytes) -> None:
    for start in range(0, len(data), 10_000):
        await decoder.feed(data[start : start + 10_000])


async def test_a_slow_reader_stops_the_decoder(pool: DecoderPool) -> None:
    data = float_wav(np.zeros((1, 8_000 * 120), np.float32), 8_000)

    async with pool.open(DecodeRequest(48_000, 2)) as decoder:
        await feed(decoder, data, 1 << 20)
        blocks = decoder.blocks()
        await anext(blocks)
        await new_child(pool)
        assert len(decoder._reader._buffer) < 1 << 20  # type: ignore[attr-defined]
        assert not decoder._child.gone  # it waits with most of the 120 s (46 MB) undone
        assert sum([block.shape[1] async for block in blocks]) == 48_000 * 119


async def settled(pid: int) -> None:
    """Until that process no longer computes."""
    before, still = -1.0, 0
    while still < 5:
        await asyncio.sleep(0.02)
        spent = cpu_ticks(pid)
        still = still + 1 if spent == before else 0
        before = spent


def cpu_ticks(pid: int) -> float:
    stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return float(stat[11]) + float(stat[12])


async def test_audio_that_cannot_be_decoded_is_a_typed_error(pool: DecoderPool) -> None:
    whole = float_wav(tone(2.0, 8_000), 8_000)
    for data in (b"", b"x", np.random.default_rng(1).bytes(100_000), whole[:-1000]):
        with pytest.raises(InvalidAudioError):
            await decode(pool, data)
    with pytest.raises(InvalidAudioError, match="NaN"):
        await decode(pool, float_wav(np.full((1, 9), np.nan, np.float32), 8_000))
    with pytest.raises(AudioTooLongError):
        await decode(pool, whole, max_seconds=1)
    assert (await decode(pool, whole, max_seconds=2)).shape == (1, 48_000)


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV, signal.SIGXCPU])
async def test_a_child_that_dies_is_an_error_of_its_upload_only(
    pool: DecoderPool, number: signal.Signals
) -> None:
    data = float_wav(tone(2.0, 24_000), 24_000)
    async with pool.open(DecodeRequest(24_000, 1)) as other:
        await other.feed(data[:1000])
        others = {await new_child(pool)}
        async with pool.open(DecodeRequest(24_000, 1)) as decoder:
            await decoder.feed(data[:1000])
            os.kill(await new_child(pool, others), number)
            with pytest.raises(InvalidAudioError):
                async for _ in decoder.blocks():
                    pass
        await feed(other, data[1000:])
        assert len([block async for block in other.blocks()]) == 2


async def test_a_child_that_is_killed_is_replaced_once(pool: DecoderPool) -> None:
    data = float_wav(tone(2.0, 24_000), 24_000)
    async with pool.open(DecodeRequest(24_000, 1)) as decoder:
        await decoder.feed(data[:1000])
        blocks = decoder.blocks()
        first = asyncio.ensure_future(anext(blocks))
        killed = await new_child(pool)
        os.kill(killed, signal.SIGKILL)
        os.kill(await new_child(pool, {killed}), signal.SIGKILL)
        with pytest.raises(DecoderError):
            await first


async def test_an_upload_that_cannot_be_read_back_is_not_the_fault_of_its_bytes(
    pool: DecoderPool, spool_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading from the descriptor of a folder is refused by the system."""
    folder = os.open(spool_dir, os.O_RDONLY)
    monkeypatch.setattr("service.decoder.decoder._UploadFile.reader", folder)
    with pytest.raises(DecoderError):
        await decode(pool, float_wav(tone(2.0, 24_000), 24_000))
    os.close(folder)


async def test_bytes_that_come_while_a_killed_child_is_replaced_are_kept(
    pool: DecoderPool,
) -> None:
    data = encode(tone(2.0, 44_100), 44_100, "flac", "flac")
    want = np.concatenate(list(open_audio(io.BytesIO(data), 24_000, 1)), axis=1)
    async with pool.open(DecodeRequest(24_000, 1)) as decoder:
        await decoder.feed(data[:1000])
        os.kill(await new_child(pool), signal.SIGKILL)
        while not decoder._child.gone:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.005)
        await feed(decoder, data[1000:])
        got = np.concatenate([block async for block in decoder.blocks()], axis=1)
    assert np.array_equal(got, want)


async def settled_descriptors() -> int:
    """How many this process has open, once the next child has been forked ahead."""
    seen: list[int] = []
    while len(seen) < 30 or len(set(seen[-30:])) > 1:
        seen.append(len(names("/proc/self/fd")))
        await asyncio.sleep(0.01)
    return seen[-1]


async def test_leaving_early_kills_the_child_and_frees_everything(
    pool: DecoderPool, spool_dir: Path
) -> None:
    descriptors = await settled_descriptors()
    for _ in range(5):
        with contextlib.suppress(ZeroDivisionError):
            async with pool.open(DecodeRequest(24_000, 1)) as decoder:
                await decoder.feed(b"RIFF")
                await new_child(pool)
                raise ZeroDivisionError
        assert child_pids(pool) == set()
    waiting = asyncio.create_task(decode(pool, b"RIFF" + bytes(5), size=1000))
    await asyncio.sleep(0.2)
    waiting.cancel()
    with pytest.raises((asyncio.CancelledError, InvalidAudioError)):
        await waiting
    assert not child_pids(pool)
    assert names(spool_dir) == []
    assert await settled_descriptors() == descriptors


async def test_a_child_has_no_secrets_privileges_or_spare_descriptors(pool: DecoderPool) -> None:
    async with pool.open(DecodeRequest(24_000, 1)) as decoder:
        await decoder.feed(b"RIFF")
        pid = await new_child(pool)
        root = Path(f"/proc/{pid}")
        limits = root.joinpath("limits").read_text()
        assert "Max open files            5 " in limits
        assert "Max core file size        0 " in limits
        assert "Max file size             0 " in limits
        for environment in (root / "environ", Path(f"/proc/{fork_server_pid(pool)}/environ")):
            assert b"very-secret" not in environment.read_bytes()
        status = root.joinpath("status").read_text()
        assert "NoNewPrivs:\t1" in status
        assert "Seccomp:\t2" in status
        assert names(root / "fd") == ["0", "1", "2", "3", "4"]
        processor = resource.RLIMIT_CPU
        assert resource.prlimit(pid, processor)[0] == 15
        mine = resource.getrlimit(processor)  # what bounds one upload bounds no fork server
        assert resource.prlimit(fork_server_pid(pool), processor) == mine
        flags = root.joinpath("fdinfo/4").read_text().split("flags:")[1].split()[0]
        assert int(flags, 8) & os.O_ACCMODE == os.O_RDONLY


async def test_many_uploads_at_once(pool: DecoderPool) -> None:
    uploads = [float_wav(tone(0.1 * (n + 1), 24_000), 24_000) for n in range(12)]
    decoded = await asyncio.gather(*[decode(pool, data) for data in uploads])
    lengths = [samples.shape[1] for samples in decoded]
    assert lengths == [2_400 * (n + 1) for n in range(12)]


async def test_signals_that_end_the_server_do_not_end_the_fork_server(pool: DecoderPool) -> None:
    before = fork_server_pid(pool)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(before, number)
    data = float_wav(tone(1.0, 24_000), 24_000)
    assert (await decode(pool, data)).shape == (1, 24_000)
    assert fork_server_pid(pool) == before
    assert os.getsid(before) == before  # nor is the server's terminal its own
