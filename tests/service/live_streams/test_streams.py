"""`/live/compress` and `/live/decompress`, on a real server."""

import io

import numpy as np
import pytest

from model_core.audio import Converter, open_audio, pcm16
from model_core.ecdc.v1 import Parser
from tests.media import encode, tone
from tests.service.live import Live
from tests.service.live_streams.client import (
    RATE,
    at_once,
    audio_of,
    codec_of,
    next_of,
    noise,
    opened,
    pieces,
    talk,
)


@pytest.mark.parametrize(("chunk", "lm"), [(1, False), (4, False), (75, False), (75, True)])
@pytest.mark.parametrize("samples", [700, 2240, 50_001])
def test_the_live_stream_is_the_file_that_compressing_at_once_gives(
    server: Live, samples: int, chunk: int, lm: bool
) -> None:
    codec, audio = codec_of(server), noise(samples)
    query = f"compress?input=f32&chunk={chunk}&lm={str(lm).lower()}"
    heard = talk(server, query, pieces(audio.tobytes(), 1001))
    assert heard.data == at_once(codec, audio, chunk, lm=lm)
    assert heard.code == 1000
    assert heard.of("ready")["chunk"] == chunk
    assert heard.of("end") == {
        "type": "end",
        "received": 4 * samples,
        "sent": len(heard.data),
        "samples": samples,
        "complete": True,
    }


def test_audio_sent_all_at_once_gives_the_same(server: Live) -> None:
    audio = noise(5 * RATE)
    heard = talk(server, "compress?input=f32&chunk=1", [audio.tobytes()])
    assert heard.data == at_once(codec_of(server), audio, 1)


def test_other_rates_and_stereo_are_converted(server: Live) -> None:
    audio = np.concatenate([noise(30_000), noise(30_000, seed=1)])
    sent = pcm16(audio)
    read = np.frombuffer(sent, "<i2").reshape(-1, 2).T.astype(np.float32) * np.float32(2**-15)
    converter = Converter(48_000, 2, RATE, 1)
    wanted = np.concatenate([converter.push(read), converter.finish()], axis=1)
    heard = talk(server, "compress?sample_rate=48000&channels=2", pieces(sent, 999))
    assert heard.data == at_once(codec_of(server), wanted, recorded=(48_000, 2))


def test_what_a_browser_records_is_decoded_as_it_comes(server: Live) -> None:
    file = encode(tone(2.5, 48_000), 48_000, "webm", "libopus")
    with open_audio(io.BytesIO(file), RATE, 1) as blocks:
        audio = np.concatenate(list(blocks), axis=1)
        info = blocks.info
    heard = talk(server, "compress?input=container", pieces(file, 500))
    assert heard.data == at_once(
        codec_of(server), audio, recorded=(info.sample_rate, info.channels)
    )


def test_a_chunk_comes_before_the_audio_ends(server: Live) -> None:
    with opened(server, "compress?input=f32&chunk=1") as connection:
        next_of(connection, "ready")
        connection.send(noise(7 * 320).tobytes())
        parser, chunks = Parser(), 0
        while chunks < 7:
            message = connection.recv(timeout=10)
            assert isinstance(message, bytes)
            parser.feed(message)
            chunks += len(list(parser.chunks()))


def test_a_pong_follows_all_that_came_before_its_ping(server: Live) -> None:
    with opened(server, "compress?input=f32&chunk=1") as connection:
        next_of(connection, "ready")
        connection.send(noise(20 * 320).tobytes())
        connection.send('{"type":"ping","id":"here"}')
        got = 0
        while isinstance(message := connection.recv(timeout=10), bytes):
            got += len(message)
        assert message == '{"type":"pong","id":"here"}'
        assert got > 20 * 10  # 20 frames of 8 codes


@pytest.mark.parametrize("chunk", [1, 8, 75])
def test_live_decoding_gives_the_samples_of_the_file(server: Live, chunk: int) -> None:
    codec = codec_of(server)
    file = at_once(codec, noise(30_000), chunk)
    audio = audio_of(codec, file)
    heard = talk(server, "decompress", pieces(file, 77))
    assert heard.data == audio.T.tobytes()
    assert heard.of("header")["sample_rate"] == RATE
    assert heard.of("end")["complete"]
    heard = talk(server, "decompress?output=s16", [file])
    assert heard.data == pcm16(audio)


def test_live_decoding_has_the_language_model_too(server: Live) -> None:
    codec = codec_of(server)
    file = at_once(codec, noise(50_000), 75, lm=True)
    assert talk(server, "decompress", pieces(file, 99)).data == audio_of(codec, file).T.tobytes()


def test_decoded_audio_comes_at_another_rate(server: Live) -> None:
    codec = codec_of(server)
    file = at_once(codec, noise(30_000))
    converter = Converter(RATE, 1, 48_000, 2)
    audio = np.concatenate([converter.push(audio_of(codec, file)), converter.finish()], axis=1)
    heard = talk(server, "decompress?sample_rate=48000&channels=2", pieces(file, 100))
    assert heard.data == audio.T.tobytes()
    assert heard.of("header")["channels"] == 2


def test_a_stream_without_its_index_has_ended_and_is_not_complete(server: Live) -> None:
    codec = codec_of(server)
    file = at_once(codec, noise(32_000))
    parser = Parser()
    parser.feed(file)
    chunks = parser.header_bytes + sum(len(parser.chunk_data) for _ in parser.chunks())
    heard = talk(server, "decompress", [file[:chunks]])
    assert heard.data == audio_of(codec, file).T.tobytes()
    assert not heard.of("end")["complete"]


def test_damage_and_missing_ends_are_typed_errors(server: Live) -> None:
    file = bytearray(at_once(codec_of(server), noise(32_000)))
    cut = talk(server, "decompress", [bytes(file[:-700])])
    assert (cut.problem, cut.code) == ("truncated_ecdc", 4400)
    file[300] ^= 1
    damaged = talk(server, "decompress", [bytes(file)])
    assert (damaged.problem, damaged.code) == ("broken_ecdc", 4400)
    nothing = talk(server, "decompress")
    assert nothing.problem == "truncated_ecdc"


@pytest.mark.parametrize(
    ("sent", "query"),
    [([], "input=f32"), ([b"123"], "input=f32"), ([b"no audio" * 99], "input=container")],
    ids=["nothing", "half a sample", "no audio"],
)
def test_audio_that_is_none_is_a_typed_error(server: Live, sent: list[bytes], query: str) -> None:
    heard = talk(server, f"compress?{query}", sent)
    assert (heard.problem, heard.code) == ("undecodable_audio", 4400)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("compress?bandwidth=5", "unsupported_bandwidth"),
        ("compress?bandwith=6", "bad_parameter"),
        ("compress?chunk=0", "bad_parameter"),
        ("compress?chunk=4&chunk=5", "bad_parameter"),
        ("compress?input=mp3", "bad_parameter"),
        ("compress?lm=true&chunk=1025", "bad_parameter"),
        ("compress?model=encodec_48khz&bandwidth=6", "unknown_model"),
        ("compress?model=other", "unknown_model"),
        ("decompress?output=wav", "bad_parameter"),
        ("relay/a%20b", "bad_parameter"),
        ("relay/a?role=shout", "bad_parameter"),
        ("relay/a?preroll=305", "bad_parameter"),
    ],
)
def test_wrong_parameters_are_typed_errors(server: Live, path: str, problem: str) -> None:
    heard = talk(server, path)
    assert (heard.problem, heard.code) == (problem, 4422)
    assert not [m for m in heard.messages if m["type"] == "ready"]
    assert "Value error" not in heard.of("error")["problem"]["detail"]


def test_a_parameter_that_there_is_not_is_answered_with_those_there_are(server: Live) -> None:
    told = talk(server, "decompress?bandwidth=6").messages[-1]
    text = "no parameter 'bandwidth'; there are channels, output, sample_rate"
    assert told["problem"]["detail"] == text
