"""A constant offset and stereo in opposite phase: found at effort 0, put right from effort 1 on."""

import io

import numpy as np
import pytest

from model_core.codec import Codec, Compressor, Decompressor, Encoder, iterate_now, run_now
from model_core.codec.codec_cache import codec_of
from model_core.codec.corrections import (
    CancellingSegments,
    InputWarning,
    OffsetFilter,
    OffsetMeter,
    least_scale,
)
from model_core.ecdc import read_header
from model_core.engine import EncodedBlock
from model_core.model import load_model
from tests.peers import NAMES, Peers, signal

RATE = 24_000


def _filtered(x: np.ndarray, step: int = RATE, rate: int = RATE) -> np.ndarray:
    offset = OffsetFilter(len(x), rate)
    parts = [offset.push(x[:, i : i + step]) for i in range(0, x.shape[1], step)]
    return np.concatenate([*parts, offset.finish()], axis=1)


@pytest.mark.parametrize("samples", [1, 2399, 2400, 11_999, 24_000, 30_001, 200_123])
def test_audio_without_an_offset_is_not_changed(samples: int) -> None:
    x = signal(2, samples, RATE, seed=samples).numpy()
    np.testing.assert_array_equal(_filtered(x), x)


def test_low_notes_are_no_offset() -> None:
    """Whose periods do not fit the windows."""
    time = np.arange(10 * RATE) / RATE
    for hertz in (20, 31, 47.3, 55):
        x = (0.5 * np.sin(2 * np.pi * hertz * time))[None].astype(np.float32)
        assert np.abs(_filtered(x) - x).max() < 5e-3


@pytest.mark.parametrize("offset", [0.005, -0.02, 0.3])
@pytest.mark.parametrize("seconds", [0.6, 1.0, 7.3])
def test_a_constant_offset_is_removed_from_the_first_sample_on(
    offset: float, seconds: float
) -> None:
    x = signal(1, round(seconds * RATE), RATE, seed=1).numpy() * 0.3
    y = _filtered(x + np.float32(offset))
    assert np.abs(y - x).max() < 0.2 * abs(offset)
    assert abs(float((y - x).mean())) < 0.1 * abs(offset)


def test_each_channel_has_its_own_offset() -> None:
    silence = np.zeros((2, 3 * RATE), np.float32)
    y = _filtered(silence + np.array([[0.01], [0]], np.float32))
    assert np.abs(y).max() < 1e-6


def test_an_offset_that_ends_is_followed() -> None:
    x = np.zeros((1, 12 * RATE), np.float32)
    x[:, : 4 * RATE] = 0.01
    y = _filtered(x)
    assert np.abs(y[:, : 4 * RATE]).max() < 1e-6
    assert np.abs(y[:, 10 * RATE :]).max() < 1e-6


@pytest.mark.parametrize("step", [1, 777, 2400, 100_000])
def test_an_offset_is_the_same_however_the_samples_are_pushed(step: int) -> None:
    length = 3 * RATE // (20 if step == 1 else 1) + 1234
    x = signal(2, length, RATE, seed=3).numpy() + np.array([[0.01], [-0.02]], np.float32)
    np.testing.assert_array_equal(_filtered(x, step), _filtered(x, length))


def test_what_would_wait_forever_does_not() -> None:
    """After the first second less than 0.1 s is held back."""
    offset = OffsetFilter(1, RATE)
    x = signal(1, 5 * RATE, RATE).numpy()
    assert offset.push(x[:, : RATE - 1]).shape[1] == 0
    got = RATE - 1
    done = 0
    for size in (1, 100, 5000, 50_000):
        done += offset.push(x[:, got : got + size]).shape[1]
        got += size
        assert 0 <= got - done < RATE // 10


def _warnings(codec: Codec, x: np.ndarray, effort: int) -> list[InputWarning]:
    encoder = Encoder(codec, 2, effort=effort)
    run_now(encoder.push(x))
    run_now(encoder.finish())
    return encoder.warnings


@pytest.mark.parametrize("name", NAMES)
def test_effort_0_warns_of_an_offset(peers: Peers, name: str) -> None:
    codec = codec_of(peers.pair(name).ours)
    config = codec.config
    x = 0.3 * signal(config.channels, round(1.2 * config.sample_rate), config.sample_rate).numpy()
    assert _warnings(codec, x, 0) == []
    (warning,) = _warnings(codec, x + np.float32(0.02), 0)
    assert warning.code == "constant-offset"
    assert warning.values["offset"] == pytest.approx(0.02, rel=0.2)
    assert warning.field() == f"constant-offset;offset={warning.values['offset']:g}"
    assert _warnings(codec, x + np.float32(0.02), 1) == []


def test_a_long_stream_is_measured_five_seconds_at_a_time() -> None:
    meter = OffsetMeter(RATE)
    for second in range(12):
        meter.add(np.full((1, RATE), 0.01 if second > 9 else 0, np.float32))
    assert meter.largest == 0
    warning = meter.warning()
    assert warning is not None
    assert warning.values == {"offset": pytest.approx(0.01)}


def test_effort_0_warns_of_stereo_in_opposite_phase(peers: Peers) -> None:
    codec = codec_of(peers.pair("encodec_48khz").ours)
    x = signal(2, 100_000, 48_000, seed=3).numpy()
    assert _warnings(codec, x, 0) == []
    x[1, 60_000:] = -0.9 * x[0, 60_000:]
    (warning,) = _warnings(codec, x, 0)
    assert warning.code == "opposite-phase"
    assert (warning.values["segments"], warning.values["of"]) == (2, 3)
    assert 20 < warning.values["decibels"] < 30
    assert "2 of 3" in warning.text
    assert _warnings(codec, x, 1) == []


def test_silence_does_not_cancel() -> None:
    cancelling = CancellingSegments()
    cancelling.add(np.zeros((2, 480), np.float32), 1e-8)
    assert cancelling.warning() is None


@pytest.mark.parametrize(
    "sides", [(1, 1), (1, 0), (0, 1), (1, 0.2)], ids=["both", "left", "right", "panned"]
)
def test_ordinary_stereo_keeps_the_references_scale(
    peers: Peers, sides: tuple[float, float]
) -> None:
    codec = codec_of(peers.pair("encodec_48khz").ours)
    x = (signal(1, 48_000, 48_000).numpy() * np.array(sides, np.float32)[:, None]).astype(
        np.float32
    )
    scales = [_blocks(codec, x, effort)[0].scale for effort in (0, 1)]
    assert scales[0] == scales[1]


def _blocks(codec: Codec, x: np.ndarray, effort: int) -> list[EncodedBlock]:
    encoder = Encoder(codec, 2, effort=effort)
    return [*run_now(encoder.push(x)), *run_now(encoder.finish())]


def test_stereo_in_opposite_phase_keeps_its_loudness() -> None:
    codec = Codec.load("encodec_48khz", "bundled", lm=False)
    x = signal(2, 96_000, 48_000, seed=8).numpy()
    x[1] = -x[0]
    assert least_scale(x) == pytest.approx(0.7 * np.sqrt(np.square(x).mean()), rel=1e-5)
    loudness = []
    for effort in (0, 1):
        compressor = Compressor(codec, 12.0, effort=effort)
        payload = run_now(compressor.push(x)) + run_now(compressor.finish())
        file = io.BytesIO(compressor.header.to_bytes() + payload)
        decoded = iterate_now(Decompressor(codec, read_header(file), file).blocks())
        power = np.square(np.concatenate(list(decoded), axis=1)).mean() / np.square(x).mean()
        loudness.append(10 * np.log10(power + 1e-20))
    assert loudness[0] < -60
    assert loudness[1] > -8


def test_an_offset_makes_no_noise_from_effort_1_on() -> None:
    codec = codec_of(load_model("encodec_24khz", "bundled"))
    silence = np.zeros((1, 3 * RATE), np.float32)
    clean = _blocks(codec, silence, 1)
    for block, other in zip(_blocks(codec, silence + np.float32(0.02), 1), clean, strict=True):
        np.testing.assert_array_equal(block.codes, other.codes)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("effort", [1, 3])
def test_pieces_of_any_size_give_the_same_codes(peers: Peers, name: str, effort: int) -> None:
    codec = codec_of(peers.pair(name).ours)
    config = codec.config
    rate = config.sample_rate
    x = signal(config.channels, round(2.3 * rate), rate, seed=5).numpy() + np.float32(0.01)
    files = []
    for step in (x.shape[1], 7001):
        compressor = Compressor(codec, 3.0, effort=effort)
        parts = [run_now(compressor.push(x[:, i : i + step])) for i in range(0, x.shape[1], step)]
        files.append(b"".join([*parts, run_now(compressor.finish())]))
        assert compressor.header.audio_length == x.shape[1]
    assert files[0] == files[1]


def test_an_effort_that_there_is_not_is_refused(peers: Peers) -> None:
    codec = codec_of(peers.pair("encodec_24khz").ours)
    for effort in (-1, 4):
        with pytest.raises(ValueError, match="effort is 0 to 3"):
            Compressor(codec, 6.0, effort=effort)
