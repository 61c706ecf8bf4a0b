"""Audio out: FLAC, Opus, MP3 and bare samples; other rates and channels."""

import gc
import io
from collections.abc import Iterator

import av
import numpy as np
import pytest
from av.container import OutputContainer

from model_core.audio import (
    FORMATS,
    AudioFormat,
    Converter,
    choose_channels,
    choose_rate,
    converted_length,
    encoder,
    open_audio,
    pcm16,
    wav_header,
)
from model_core.audio.files import read_whole
from model_core.audio.reader import MAX_RATE, MIN_RATE
from model_core.errors import InvalidAudioError
from tests.media import Floats, tone

CODED = ["flac", "opus", "mp3"]
LENGTHS = [1, 2, 100, 575, 576, 577, 1151, 1152, 1153, 4096, 24_001, 50_000]


def cut(samples: Floats, size: int) -> Iterator[Floats]:
    for start in range(0, samples.shape[1], size):
        yield samples[:, start : start + size]


def written(name: str, samples: Floats, rate: int, block: int = 10_000) -> bytes:
    made = encoder(FORMATS[name], rate, *samples.shape)
    return b"".join(map(made.push, cut(samples, block))) + made.finish()


def pcm(samples: Floats) -> np.ndarray:
    """The 16-bit samples of a WAV, `[C, n]`."""
    return np.frombuffer(pcm16(samples), "<i2").reshape(-1, len(samples)).T


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [4_000, 24_000, 44_100, 44_101, 48_000, 768_000])
def test_flac_has_the_samples_of_the_wav(rate: int, channels: int) -> None:
    for length in (*LENGTHS, 100_001):
        samples = tone(length / rate, rate, channels) * 5  # some of it clips
        back, found = read_whole(io.BytesIO(written("flac", samples, rate)))
        assert found == rate
        assert np.array_equal(np.rint(back * 2**15), pcm(samples))


def test_flac_says_its_length() -> None:
    """Where the encoder knows it (short audio) and where it does not yet; 36 bits."""
    for length in LENGTHS:
        data = written("flac", tone(length / 24_000, 24_000), 24_000)
        assert int.from_bytes(data[21:26], "big") & (1 << 36) - 1 == length
    long = encoder(FORMATS["flac"], 768_000, 1, 1 << 35)
    head = long.push(np.zeros((1, 50_000), np.float32))
    assert int.from_bytes(head[21:26], "big") & (1 << 36) - 1 == 1 << 35


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("name", "rate"), [(name, rate) for name in ("opus", "mp3") for rate in FORMATS[name].rates]
)
def test_opus_and_mp3_come_back_at_their_length(name: str, rate: int, channels: int) -> None:
    found = 48_000 if name == "opus" else rate
    # (Of an MP3 of few frames, FFmpeg needs the name to know what it is.)
    for length in LENGTHS if name == "opus" else (24_001, *range(9_000, 9_000 + 1152, 95)):
        data = written(name, tone(length / rate, rate, channels), rate)
        samples, hertz = read_whole(io.BytesIO(data))
        assert (samples.shape, hertz) == ((channels, length * found // rate), found)
        with av.open(io.BytesIO(data), "r") as file:
            assert file.duration is not None
            early = 0.0066 if name == "opus" else 1e-6  # Opus: what precedes the first sample
            assert abs(file.duration / 1e6 - length / rate) <= early


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("name", ["opus", "mp3"])
def test_opus_and_mp3_sound_like_it_and_begin_with_it(name: str, channels: int) -> None:
    samples = tone(2.0, 48_000, channels)
    back, _ = read_whole(io.BytesIO(written(name, samples, 48_000)))
    assert np.mean((back - samples) ** 2) < 0.02 * np.mean(samples**2)


@pytest.mark.parametrize("name", CODED)
def test_blocks_of_any_size_give_the_same_bytes(name: str) -> None:
    samples = tone(1.3, 24_000, 2)
    want = written(name, samples, 24_000, samples.shape[1])
    for block in (24_000, 4096, 777):
        assert written(name, samples, 24_000, block) == want


@pytest.mark.parametrize("name", CODED)
def test_bytes_come_while_samples_do(name: str) -> None:
    made = encoder(FORMATS[name], 48_000, 1, 48_000 * 20)
    sizes = [len(made.push(block)) for block in cut(tone(20, 48_000), 48_000)]
    assert all(sizes[1:])
    assert max(sizes[1:]) < 2 * sum(sizes) / len(sizes) + 40_000
    made.finish()


@pytest.mark.parametrize("name", list(FORMATS))
def test_an_impossible_length_is_refused_at_the_end(name: str) -> None:
    """A version 0 header may claim it; no format can say it."""
    made = encoder(FORMATS[name], 48_000, 2, 2**53 - 1)
    assert made.push(tone(1.0, 48_000, 2))
    with pytest.raises(InvalidAudioError, match="fewer than were announced"):
        made.finish()


@pytest.mark.parametrize("name", ["flac", "opus", "mp3"])
@pytest.mark.parametrize("begun", [False, True])
def test_what_is_given_up_takes_no_memory(name: str, begun: bool) -> None:
    """A client may leave in the middle: megabytes must not wait for the garbage collector."""

    def containers() -> int:
        return sum(isinstance(thing, OutputContainer) for thing in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = containers()
        made = encoder(FORMATS[name], 48_000, 2, 96_000)
        if begun:
            made.push(tone(1.0, 48_000, 2))
        assert containers() == before + 1
        del made
        assert containers() == before
    finally:
        gc.enable()


def test_bare_samples() -> None:
    loud = tone(0.5, 24_000, 2) * 5
    assert written("s16", loud, 24_000, 999) == pcm16(loud)
    assert written("wav", loud, 24_000) == wav_header(24_000, *loud.shape) + pcm16(loud)
    floats = np.frombuffer(written("f32", loud, 24_000, 999), "<f4").reshape(-1, 2).T
    assert np.array_equal(floats, loud)
    made = encoder(FORMATS["f32"], 24_000, 2, 3)
    half = made.push(np.ones((2, 3), np.float32), 0.5)
    assert half == np.full(6, 0.5, "<f4").tobytes()


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_known_beforehand(name: str) -> None:
    samples, format = tone(0.1, 24_000, 2), FORMATS[name]
    size = format.size(*samples.shape)
    assert (size is None) == (name in CODED)
    if size is not None:
        assert size == len(written(name, samples, 24_000))
    raw = name in ("f32", "s16")
    described = f"audio/x-raw;format={name.upper()}LE;rate=24000;channels=2;layout=interleaved"
    assert format.content_type(24_000, 2) == (described if raw else format.media_type)


@pytest.mark.parametrize("name", FORMATS)
def test_the_announced_length_is_kept(name: str) -> None:
    short, long, wrong = (encoder(FORMATS[name], 24_000, 1, 10) for _ in range(3))
    short.push(np.zeros((1, 9), np.float32))
    with pytest.raises(InvalidAudioError, match="fewer"):
        short.finish()
    with pytest.raises(InvalidAudioError, match="more"):
        long.push(np.zeros((1, 11), np.float32))
    with pytest.raises(InvalidAudioError, match="expected"):
        wrong.push(np.zeros((2, 5), np.float32))


def test_a_rate_that_a_format_has_not_is_refused() -> None:
    for name in ("opus", "mp3"):
        with pytest.raises(InvalidAudioError, match=name):
            encoder(FORMATS[name], 24_001, 1, 10)


def test_opus_and_mp3_take_the_next_higher_rate() -> None:
    opus, mp3, flac = (FORMATS[name] for name in ("opus", "mp3", "flac"))
    assert [opus.rate(hz) for hz in (4_000, 24_000, 44_100)] == [8_000, 24_000, 48_000]
    assert [mp3.rate(hz) for hz in (4_000, 24_001, 44_100)] == [8_000, 32_000, 44_100]
    assert opus.rate(768_000) == mp3.rate(768_000) == 48_000
    assert [flac.rate(hz) for hz in (4_000, 44_101, 768_000)] == [4_000, 44_101, 768_000]


def test_rates_and_channels_are_chosen() -> None:
    assert choose_rate(None, 44_100, 24_000) == 24_000
    assert choose_rate(44_101, None, 24_000) == 44_101
    assert choose_rate("original", 44_100, 24_000) == 44_100
    assert choose_channels(None, 2, 1) == 1
    assert choose_channels("original", 6, 1) == 2
    assert choose_channels("original", 1, 2) == 1
    with pytest.raises(ValueError, match="does not say"):
        choose_rate("original", None, 24_000)
    for rate in (MIN_RATE - 1, MAX_RATE + 1):
        with pytest.raises(ValueError, match="not in"):
            choose_rate(rate, None, 24_000)
        with pytest.raises(ValueError, match="not in"):
            choose_rate("original", rate, 24_000)
    for channels in (0, 3):
        with pytest.raises(ValueError, match="not in"):
            choose_channels(channels, None, 1)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("source", [1, 2])
@pytest.mark.parametrize("rate", [8_000, 24_000, 44_100, 44_101])
def test_conversion_is_that_of_audio_that_comes_in(rate: int, source: int, channels: int) -> None:
    """And the same however it is cut."""
    for length in (1, 333, 60_001):
        samples = tone(length / 24_000, 24_000, source)
        file = io.BytesIO(wav_header(24_000, source, length) + pcm16(samples))
        exact = (pcm(samples) / 2**15).astype(np.float32)
        with open_audio(file, rate, channels) as audio:
            want = np.concatenate(list(audio), axis=1)
        assert want.shape == (channels, converted_length(length, 24_000, rate))
        for block in (length, 777):
            convert = Converter(24_000, source, rate, channels)
            made = [*map(convert.push, cut(exact, block)), convert.finish()]
            assert np.array_equal(np.concatenate(made, axis=1), want)


TAGS = (("TITLE", "Ünder “Xing”"), ("ARTIST", "A"), ("artist", "B"), ("TRACKNUMBER", "3/9"))


@pytest.mark.parametrize("name", CODED)
@pytest.mark.parametrize("length", LENGTHS[::3])
def test_tags_come_back_and_change_no_sample(name: str, length: int) -> None:
    samples = tone(length / 48_000, 48_000)
    made = encoder(FORMATS[name], 48_000, 1, length, TAGS)
    data = b"".join(map(made.push, cut(samples, 700))) + made.finish()
    with open_audio(io.BytesIO(data), 48_000, 1) as source:
        back = np.concatenate(list(source), axis=1)
        assert source.decoded_samples == length
    assert set(source.info.tags) == {
        ("TITLE", "Ünder “Xing”"),
        ("ARTIST", "A; B"),
        ("TRACKNUMBER", "3/9"),
    }
    plain, _ = read_whole(io.BytesIO(written(name, samples, 48_000)))
    assert np.array_equal(back, plain)


def test_what_cannot_hold_tags_is_as_without_them() -> None:
    samples = tone(0.1, 24_000)
    for name in ("wav", "f32", "s16"):
        made = encoder(FORMATS[name], 24_000, 1, samples.shape[1], TAGS)
        assert made.push(samples) + made.finish() == written(name, samples, 24_000)


def test_a_row_is_all_that_a_format_of_ffmpeg_needs() -> None:
    format = AudioFormat(*("mka", ".mka", "audio/x-matroska"), codec="flac", container="matroska")
    samples = tone(0.5, 24_000, 2)
    made = encoder(format, 24_000, *samples.shape)
    back, _ = read_whole(io.BytesIO(made.push(samples) + made.finish()))
    assert np.array_equal(np.rint(back * 2**15), pcm(samples))
