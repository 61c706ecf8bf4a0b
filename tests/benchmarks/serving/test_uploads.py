"""The clips that the clients of a load test post."""

import io
import wave

import pytest

from benchmarks.serving.uploads import Upload, short_clips
from model_core.config import CONFIGS


def format_of(upload: Upload) -> tuple[int, int, float]:
    """Channels, Hz and seconds."""
    with wave.open(io.BytesIO(upload.body)) as file:
        return file.getnchannels(), file.getframerate(), file.getnframes() / file.getframerate()


@pytest.mark.parametrize("name", list(CONFIGS))
def test_short_clips_are_as_long_as_they_say_and_always_the_same(name: str) -> None:
    clips = short_clips(CONFIGS[name])
    assert clips == short_clips(CONFIGS[name])
    for clip in clips:
        assert format_of(clip)[2] == pytest.approx(clip.seconds, abs=1e-3)
    lengths = sorted(clip.seconds for clip in clips)
    assert lengths[0] >= 0.5
    assert lengths[-1] <= 10
    assert 2 < lengths[len(lengths) // 2] < 3


def test_the_stereo_model_gets_one_format_and_the_mono_model_many() -> None:
    stereo = {format_of(clip)[:2] for clip in short_clips(CONFIGS["encodec_48khz"])}
    assert stereo == {(2, 48_000)}
    mono = {format_of(clip)[:2] for clip in short_clips(CONFIGS["encodec_24khz"])}
    assert {channels for channels, _ in mono} == {1, 2}
    assert {rate for _, rate in mono} == {16_000, 24_000, 44_100, 48_000}
