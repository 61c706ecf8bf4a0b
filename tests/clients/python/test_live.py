"""The live streams of the Python client, against the running service."""

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encodec_client import ConnectionFailedError, ProblemError
from encodec_client.live import LiveClient, Message

from tests.service.live import Live, live, wait_for
from tests.service.live_streams.client import at_once, audio_of, codec_of, noise

AUDIO = noise(24_000 * 2)
PCM = AUDIO.tobytes()


async def all_of(stream: AsyncIterable[bytes]) -> bytes:
    return b"".join([piece async for piece in stream])


async def pieces(data: bytes, size: int = 9999) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        await asyncio.sleep(0)
        yield data[start : start + size]


def test_a_stream_there_and_back(server: Live) -> None:
    codec, client, told = codec_of(server), LiveClient(server.url), list[Message]()
    compressed = client.compress(pieces(PCM), input="f32", told=told.append)
    file = asyncio.run(all_of(compressed))
    assert file == at_once(codec, AUDIO)
    assert (told[0]["type"], told[-1]["type"]) == ("ready", "end")
    back = asyncio.run(all_of(client.decompress(file)))
    assert np.array_equal(np.frombuffer(back, "<f4"), audio_of(codec, file)[0])
    server.wait_until_idle()


@pytest.mark.parametrize("source", [PCM, [PCM[:7], PCM[7:]]])
def test_bytes_and_pieces_that_need_no_waiting(server: Live, source: Any) -> None:
    compressed = LiveClient(server.url).compress(source, input="f32")
    assert asyncio.run(all_of(compressed)) == at_once(codec_of(server), AUDIO)


def test_a_speaker_is_heard(server: Live) -> None:
    client = LiveClient(server.url)

    async def talk() -> tuple[bytes, list[str]]:
        waiting = asyncio.Event()
        heard = asyncio.create_task(
            all_of(client.listen("python", told=lambda message: waiting.set()))
        )
        await waiting.wait()
        spoken = [m["type"] async for m in client.speak("python", pieces(PCM), input="f32")]
        return await heard, spoken

    heard, spoken = asyncio.run(talk())
    assert heard == at_once(codec_of(server), AUDIO)
    assert (spoken[0], spoken[-1]) == ("ready", "end")


def test_a_key_may_have_any_letters(weights: Path) -> None:
    with live(weights, api_keys="ключ") as keyed:
        compressed = LiveClient(keyed.url, api_key="ключ").compress(PCM, input="f32")
        assert asyncio.run(all_of(compressed)) == at_once(codec_of(keyed), AUDIO)


def test_a_loop_can_be_left(server: Live) -> None:
    async def leave() -> None:
        async def forever() -> AsyncIterator[bytes]:
            while True:
                yield PCM[:9600]
                await asyncio.sleep(0.05)

        stream = LiveClient(server.url).compress(forever(), input="f32")
        async with contextlib.aclosing(stream) as compressed:
            async for _ in compressed:
                break

    asyncio.run(leave())
    wait_for(lambda: server.open == 0)


def test_a_loop_is_left_at_once_while_data_still_comes(server: Live) -> None:
    file = at_once(codec_of(server), noise(24_000 * 100))

    async def leave() -> None:
        async with contextlib.aclosing(LiveClient(server.url).decompress(file)) as audio:
            await anext(audio)
            await asyncio.sleep(1)  # more waits than is held here
        await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(leave(), 8))  # the closing handshake is waited for for 10 s
    wait_for(lambda: server.open == 0)


def test_problems_are_errors(server: Live) -> None:
    client = LiveClient(server.url)
    with pytest.raises(ProblemError) as found:
        asyncio.run(all_of(client.compress(PCM, chunk=0)))
    assert (found.value.status, found.value.code) == (422, "bad_parameter")
    assert found.value.errors[0]["name"] == "chunk"
    assert found.value.request_id
    with pytest.raises(ProblemError) as broken:
        asyncio.run(all_of(client.decompress(b"no file of any kind")))
    assert broken.value.code == "broken_ecdc"
    with pytest.raises(ProblemError) as nowhere:
        asyncio.run(all_of(client.listen("a/b")))
    assert nowhere.value.status == 404


def test_what_the_source_raises_comes_out(server: Live) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield PCM
        raise OSError("the microphone is gone")

    with pytest.raises(OSError, match="microphone"):
        asyncio.run(all_of(LiveClient(server.url).compress(failing(), input="f32")))
    wait_for(lambda: server.open == 0)


def test_a_service_that_is_not_there() -> None:
    with pytest.raises(ConnectionFailedError):
        asyncio.run(all_of(LiveClient("http://127.0.0.1:1").listen("room")))
