"""`/live/relay/{name}`, on a real server."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection

from model_core.audio import pcm16
from model_core.codec.seeking import PREROLL
from model_core.ecdc.v1 import Header, Writer
from service.http.websocket import MOST_MESSAGE
from tests.service.live import Live, live, wait_for
from tests.service.live_streams.client import (
    END,
    at_once,
    audio_of,
    codec_of,
    hear,
    next_of,
    noise,
    opened,
    pieces,
    talk,
    vanish,
)

AUDIO = noise(24_000 * 8)


@contextlib.contextmanager
def joined(server: Live, path: str, **options: Any) -> Iterator[ClientConnection]:
    """A connection that is ready."""
    with opened(server, f"relay/{path}", **options) as connection:
        next_of(connection, "ready")
        yield connection


def spoken(server: Live, name: str) -> int:
    """Samples of the relay's stream so far."""
    found: int = server.app.state.relays._relays[name].samples
    return found


def say(server: Live, speaker: ClientConnection, name: str, seconds: slice) -> None:
    """Part of `AUDIO`, and wait until it was relayed."""
    rate = 24_000
    part = AUDIO[:, slice(seconds.start * rate, seconds.stop * rate)]
    for piece in pieces(part.tobytes(), 9999):
        speaker.send(piece)
    wait_for(lambda: spoken(server, name) >= (seconds.stop * rate) // 1280 * 1280)


def test_listeners_hear_the_file_from_the_start_or_later(server: Live) -> None:
    codec = codec_of(server)
    file = at_once(codec, AUDIO)
    with (
        joined(server, "room?role=speak&input=f32") as speaker,
        joined(server, "room") as early,
        joined(server, "room?output=s16") as early_audio,
    ):
        say(server, speaker, "room", slice(0, 6))
        with joined(server, "room") as late, joined(server, "room?output=f32") as late_audio:
            start = next_of(late, "start")
            assert start == {
                "type": "start",
                "chunk": 450 // 4 - PREROLL // 4,
                "now": 450 // 4,
                "frames": 4,
            }
            next_of(late_audio, "start")
            say(server, speaker, "room", slice(6, 8))
            speaker.send(END)
            ended = hear(speaker)
            assert ended.code == 1000
            assert not ended.data
            assert hear(early).data == file
            assert hear(early_audio).data == pcm16(audio_of(codec, file))
            heard, heard_audio = hear(late), hear(late_audio)
    assert heard.of("end")["complete"]
    assert heard.code == 1000
    # Its bytes are the header and the chunks from `chunk` on, without the index.
    chunk = file[len(file) // 2 :][:16]
    assert chunk in heard.data
    decoded = talk(server, "decompress?output=f32", [heard.data])
    assert not decoded.of("end")["complete"]
    # The server has dropped what only warms the decoder up.
    skipped = 4 * (start["now"] - start["chunk"]) * 1280
    assert decoded.data[skipped:] == heard_audio.data
    assert len(heard_audio.data) == 4 * (AUDIO.shape[1] - 112 * 1280)


def test_a_version_1_stream_is_passed_on_as_it_is(server: Live) -> None:
    file = at_once(codec_of(server), AUDIO, 75, lm=True)
    with joined(server, "song") as listener:
        talk(server, "relay/song?role=speak&input=ecdc", pieces(file, 1000))
        heard = hear(listener)
    assert heard.data == file
    assert heard.of("end")["complete"]


def test_a_damaged_stream_ends_for_all(server: Live) -> None:
    file = bytearray(at_once(codec_of(server), AUDIO))
    file[5000] ^= 1
    with joined(server, "song") as listener:
        speaker = talk(server, "relay/song?role=speak&input=ecdc", [bytes(file)])
        assert (speaker.problem, speaker.code) == ("broken_ecdc", 4400)
        assert not hear(listener).of("end")["complete"]


def test_a_second_speaker_is_refused_and_the_first_goes_on(server: Live) -> None:
    with joined(server, "stage?role=speak&input=f32") as speaker:
        second = talk(server, "relay/stage?role=speak")
        assert (second.problem, second.code) == ("relay_taken", 4409)
        speaker.send(noise(9000).tobytes())
        speaker.send(END)
        assert hear(speaker).code == 1000


def test_a_speaker_that_vanishes_has_its_file_ended(server: Live) -> None:
    audio = noise(30_000)
    with joined(server, "hall") as listener:
        with joined(server, "hall?role=speak&input=f32") as speaker:
            speaker.send(audio.tobytes())
            wait_for(lambda: spoken(server, "hall") > 28_000)
            vanish(speaker)
        heard = hear(listener)
    assert heard.data == at_once(codec_of(server), audio)
    assert heard.code == 1000
    wait_for(lambda: not server.app.state.relays)


def test_a_speaker_that_is_refused_ends_for_those_who_wait(server: Live) -> None:
    with joined(server, "none") as early, joined(server, "none?output=s16") as early_audio:
        assert talk(server, "relay/none?role=speak&bandwidth=5").problem == "unsupported_bandwidth"
        for listener in (early, early_audio):
            heard = hear(listener)
            assert heard.code == 1000
            assert heard.of("end")["complete"] is False


def test_small_chunks_let_others_have_their_turns(server: Live) -> None:
    """A message of them takes a second or more to be looked at."""
    count = 50_000
    writer = Writer(Header("encodec_24khz", 2, 0, 1))
    file = writer.header() + b"".join(writer.chunk(320, bytes(3)) for _ in range(count))
    assert len(file) < MOST_MESSAGE
    with joined(server, "small?role=speak&input=ecdc") as speaker, server.client() as client:
        speaker.send(file)
        seen = [0]
        while seen[-1] < count * 320:
            assert client.get("/health/live").status_code == 200
            seen.append(spoken(server, "small"))
    assert len(set(seen)) > 3


def test_a_listener_that_sends_data_or_has_enough(server: Live) -> None:
    heard = talk(server, "relay/room", [b"data"])
    assert (heard.problem, heard.code) == ("bad_request", 4400)
    wait_for(lambda: not server.app.state.relays)


def test_a_listener_sends_no_large_message(server: Live) -> None:
    with joined(server, "room") as listener:
        listener.send(bytes(1 << 17))
        assert hear(listener).code == 1009


@pytest.mark.parametrize("output", ["ecdc", "f32"])
def test_a_listener_is_told_the_time_of_its_step_not_of_its_silence(
    server: Live, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    monkeypatch.setattr("service.live.session._PROGRESS", 0.0)
    with (
        joined(server, "step?role=speak&input=f32") as speaker,
        joined(server, f"step?output={output}") as listener,
    ):
        time.sleep(1.5)
        speaker.send(AUDIO[:, :24_000].tobytes())
        assert next_of(listener, "progress")["step_ms"] < 1400


def test_a_listener_that_does_not_read_is_cut_off_alone(server: Live) -> None:
    file = at_once(codec_of(server), noise(24_000 * 600), 75)
    assert len(file) > 400_000
    with (
        joined(server, "noise", max_queue=1) as deaf,
        joined(server, "noise") as good,
        joined(server, "noise?role=speak&input=ecdc") as speaker,
    ):
        received = b""
        for piece in pieces(file, 2000):
            speaker.send(piece)
            while isinstance(message := good.recv(timeout=20), str) or not message:
                pass
            received += message
        speaker.send(END)
        rest = hear(good)
        assert received + rest.data == file
        assert rest.code == 1000
        wait_for(lambda: 'code="4408",kind="listen"' in httpx.get(f"{server.url}/metrics").text)
        vanish(deaf)


def test_listeners_are_limited(weights: Path) -> None:
    with live(weights, max_listeners=1) as server, joined(server, "a"):
        heard = talk(server, "relay/b")
        assert (heard.problem, heard.code) == ("busy", 4429)


@pytest.mark.parametrize("count", [64])
def test_listeners_that_vanish_leave_nothing(server: Live, count: int) -> None:
    with contextlib.ExitStack() as stack:
        speaker = stack.enter_context(joined(server, "crowd?role=speak&input=f32"))
        listeners = [stack.enter_context(joined(server, "crowd")) for _ in range(count)]
        speaker.send(noise(20_000).tobytes())
        for listener in listeners:
            vanish(listener)
        wait_for(lambda: server.app.state.relays.listeners == 0)
        speaker.send(noise(20_000).tobytes())
        speaker.send(END)
        assert hear(speaker).code == 1000
    wait_for(lambda: not server.app.state.relays)
