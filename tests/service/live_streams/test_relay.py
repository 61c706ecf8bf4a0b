"""The queues of a relay, without connections."""

import asyncio
import itertools
from contextlib import ExitStack

import pytest

from model_core.codec.seeking import PREROLL
from model_core.ecdc.v1 import Chunk, Header, Writer
from service.http.problems import Problem, ProblemCode
from service.live.relay import MOST_WAITING, End, Listener, Piece, Relay, Relays, Start

FRAMES = 4
CODES = bytes(8 * FRAMES * 10 // 8)


def stream(chunks: int) -> tuple[bytes, list[bytes], bytes]:
    """Header, chunks and end of a file of silence."""
    writer = Writer(Header("encodec_24khz", 8, 0, FRAMES))
    parts = [writer.chunk(FRAMES * 320, CODES) for _ in range(chunks)]
    return writer.header(), parts, writer.finish()


def listener(preroll: int = PREROLL, unread: int = 0) -> Listener:
    """One that may have `unread` bytes on the way."""
    return Listener(preroll, lambda: unread)


def heard(queue: Listener) -> tuple[int, int, bytes, End | None]:
    """The first chunk, the first new one, all bytes and the end, as far as they have come."""

    async def collect() -> tuple[int, int, bytes, End | None]:
        start = await queue.begun()
        assert isinstance(start, Start)
        data, end = start.header, None
        while end is None:
            try:
                async with asyncio.timeout(0.01):
                    found = await queue.next()
            except TimeoutError:
                break
            if isinstance(found, End):
                end = found
            else:
                data += b"".join(piece.data for piece in found)
        return start.chunk, start.now, data, end

    return asyncio.run(collect())


def test_a_listener_from_the_start_gets_the_whole_file() -> None:
    header, chunks, tail = stream(200)
    relay, queue = Relay(), listener()
    relay.add(queue)
    file = header + b"".join(chunks) + tail
    for start in range(0, len(file), 99):
        relay.push(file[start : start + 99])
    relay.finish()
    assert heard(queue) == (0, 0, header + b"".join(chunks), End(tail, True))


@pytest.mark.parametrize(("preroll", "warm"), [(PREROLL, PREROLL // FRAMES), (5, 2), (0, 0)])
def test_a_late_listener_gets_what_warms_its_decoder_up(preroll: int, warm: int) -> None:
    header, chunks, tail = stream(200)
    relay, queue = Relay(), listener(preroll)
    relay.push(header + b"".join(chunks[:150]))
    relay.add(queue)
    relay.push(b"".join(chunks[150:]) + tail)
    relay.finish()
    wanted = header + b"".join(chunks[150 - warm :])
    assert heard(queue) == (150 - warm, 150, wanted, End(b"", True))


def test_a_listener_that_comes_before_the_speaker_waits() -> None:
    relays, queue = Relays(2), listener()
    header, chunks, _ = stream(3)
    with relays.listening("room", queue):
        with relays.speaking("room") as relay:
            relay.push(header + b"".join(chunks))
        assert heard(queue) == (0, 0, header + b"".join(chunks), End(b"", False))
    assert not len(relays)


def test_a_speaker_that_never_begins_ends_for_those_who_wait() -> None:
    relays, queue = Relays(2), listener()
    with relays.listening("room", queue) as relay:
        with relays.speaking("room"):
            pass
        assert asyncio.run(asyncio.wait_for(queue.begun(), 5)) == End(b"", False)
        assert not relay.has_speaker


def test_there_is_one_speaker_at_a_time() -> None:
    relays = Relays(2)
    with relays.speaking("room"):
        with pytest.raises(Problem) as refused, relays.speaking("room"):
            pass
        assert refused.value.code is ProblemCode.RELAY_TAKEN
        with relays.speaking("another room"):
            assert len(relays) == 2
    with relays.speaking("room"):
        pass
    assert not len(relays)


def test_listeners_are_limited() -> None:
    relays = Relays(1)
    with relays.listening("room", listener()):
        with pytest.raises(Problem) as refused, relays.listening("other", listener()):
            pass
        assert refused.value.code is ProblemCode.BUSY
    assert (len(relays), relays.listeners) == (0, 0)


def test_no_key_of_several_has_all_listeners() -> None:
    relays = Relays(10, keys=2)
    with ExitStack() as listening:

        def join(key: str) -> None:
            listening.enter_context(relays.listening("room", listener(), key))

        for _ in range(8):
            join("one")
        with pytest.raises(Problem) as refused:
            join("one")
        assert refused.value.code is ProblemCode.BUSY
        join("two")
    for _ in range(2):
        with relays.listening("room", listener(), "one"):
            assert relays.listeners == 1


def test_a_listener_that_reads_too_little_is_cut_off_and_others_are_not() -> None:
    header, chunks, _ = stream(4)
    relay, slow, quick = Relay(), listener(unread=MOST_WAITING), listener()
    relay.add(slow)
    relay.add(quick)
    relay.push(header + b"".join(chunks))
    assert heard(quick)[2] == header + b"".join(chunks)
    with pytest.raises(Problem) as refused:
        heard(slow)
    assert refused.value.code is ProblemCode.CLIENT_TOO_SLOW


def test_a_chunk_larger_than_what_may_wait_reaches_who_reads_all() -> None:
    header, chunks, _ = stream(1)
    relay, queue = Relay(), listener()
    relay.add(queue)
    relay.push(header + chunks[0])
    heard(queue)
    large = Piece(Chunk(1, 1280, 1280, (), b""), bytes(2 * MOST_WAITING))
    queue.put(large)
    assert asyncio.run(queue.next()) == [large]


def test_what_waits_for_a_listener_is_limited() -> None:
    header, chunks, _ = stream(1)
    relay, queue = Relay(), listener()
    relay.add(queue)
    relay.push(header + chunks[0])
    piece = next(iter(queue._pieces))
    big = Piece(piece.chunk, bytes(1 << 16))
    for _ in itertools.repeat(None, 5):
        queue.put(big)
    assert not queue._pieces
    with pytest.raises(Problem):
        heard(queue)
