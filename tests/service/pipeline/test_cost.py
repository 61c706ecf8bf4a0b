"""Estimates of how long an upload is."""

import io

import av
import numpy as np
import pytest

from model_core.audio import RawFormat
from service.pipeline.cost import UNKNOWN, estimated_seconds
from tests.service.sounds import encoded, l16, sound, wav

HEAD = 1 << 16


def of_file(data: bytes, raw: RawFormat | None = None) -> float:
    return estimated_seconds(data[:HEAD], len(data), raw)


@pytest.mark.parametrize("rate", [8_000, 44_100])
@pytest.mark.parametrize("channels", [1, 2])
def test_pcm_is_exact(rate: int, channels: int) -> None:
    assert of_file(wav(7.5, rate, channels)) == pytest.approx(7.5, rel=0.01)
    assert of_file(l16(7.5, rate, channels), RawFormat(rate, channels)) == pytest.approx(7.5)


@pytest.mark.parametrize(("container", "codec"), [("aiff", "pcm_s16be"), ("wav", "pcm_f32le")])
def test_other_pcm_is_exact(container: str, codec: str) -> None:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=22_050)
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.layout = "stereo"
        frame = av.AudioFrame.from_ndarray(sound(2, 3.0, 22_050), "fltp", "stereo")
        frame.sample_rate = 22_050
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            output.mux(packet)
    assert of_file(file.getvalue()) == pytest.approx(3.0, rel=0.01)


def test_flac_says_its_length_whatever_its_size() -> None:
    assert estimated_seconds(encoded("flac", 4.0)[:100], None) == pytest.approx(4.0, rel=0.01)


@pytest.mark.parametrize("name", ["mp3", "ogg", "m4a"])
def test_compressed_audio_is_of_the_right_order(name: str) -> None:
    assert 5 < of_file(encoded(name, 20.0)) < 80


def test_what_is_not_known_is_taken_for_a_minute() -> None:
    assert estimated_seconds(wav(1.0)[:HEAD], None) == UNKNOWN


@pytest.mark.parametrize("start", [b"RIFF????WAVE", b"FORM????AIFF", b"fLaC", b"RIFF????WAVEfmt "])
def test_damaged_headers_are_no_error(start: bytes) -> None:
    noise = np.random.default_rng(0).bytes(200)
    for head in (start, start + bytes(60), start + b"\xff" * 60, start + b"COMM" + noise):
        assert estimated_seconds(head, 1000) >= 0
