"""The clips that the clients of a load test post."""

import io
import wave
from collections.abc import Sequence
from functools import lru_cache

import pytest

from benchmarks.serving.uploads import Upload, encoded, short_clips
from model_core.audio import open_audio
from model_core.config import CONFIGS


def format_of(upload: Upload) -> tuple[int, int, float]:
    """Channels, Hz and seconds."""
    with wave.open(io.BytesIO(upload.body)) as file:
        return file.getnchannels(), file.getframerate(), file.getnframes() / file.getframerate()


@lru_cache
def clips_for(name: str) -> Sequence[Upload]:
    return short_clips(CONFIGS[name])


@pytest.mark.parametrize("name", list(CONFIGS))
def test_short_clips_are_as_long_as_they_say_and_always_the_same(name: str) -> None:
    clips = clips_for(name)
    assert clips == short_clips(CONFIGS[name])
    for clip in clips:
        assert format_of(clip)[2] == pytest.approx(clip.seconds, abs=1e-3)
    lengths = sorted(clip.seconds for clip in clips)
    assert lengths[0] >= 0.5
    assert lengths[-1] <= 10
    assert 2 < lengths[len(lengths) // 2] < 3


def test_the_stereo_model_gets_one_format_and_the_mono_model_many() -> None:
    stereo = {format_of(clip)[:2] for clip in clips_for("encodec_48khz")}
    assert stereo == {(2, 48_000)}
    mono = {format_of(clip)[:2] for clip in clips_for("encodec_24khz")}
    assert {channels for channels, _ in mono} == {1, 2}
    assert {rate for _, rate in mono} == {16_000, 24_000, 44_100, 48_000}


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [("wav", "pcm_s16le", 44_100), ("flac", "flac", 44_100), ("ogg", "libopus", 48_000)],
)
def test_an_encoded_clip_is_as_long_as_it_says(container: str, codec: str, rate: int) -> None:
    with open_audio(io.BytesIO(encoded(1.0, container, codec, rate)), rate, 1) as source:
        assert source.info.channels == 1
        assert sum(block.shape[1] for block in source) == pytest.approx(rate, rel=0.01)
