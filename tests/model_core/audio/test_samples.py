import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from av.audio.layout import AudioLayout
from encodec.utils import convert_audio as reference_convert

from model_core.audio import open_audio
from model_core.audio.samples import stereo_matrix, with_channels
from model_core.errors import InvalidAudioError
from tests.media import encode, tone

H = np.sqrt(0.5)


def test_5_1_goes_to_stereo_normalised_without_lfe() -> None:
    """FL FR FC LFE BL BR, the sum of a side brought to 1."""
    want = np.array([[1, 0, H, 0, H, 0], [0, 1, H, 0, 0, H]]) / (1 + 2 * H)
    assert np.allclose(stereo_matrix(AudioLayout("5.1")), want, atol=1e-6)


@pytest.mark.parametrize("layout", ["2.1", "3.0", "quad", "4.0", "5.0", "5.1(side)", "6.1", "7.1"])
def test_no_layout_can_clip(layout: str) -> None:
    matrix = stereo_matrix(AudioLayout(layout))
    assert matrix.shape == (2, AudioLayout(layout).nb_channels)
    assert (np.abs(matrix).sum(axis=1) <= 1 + 1e-6).all()
    assert (np.abs(matrix).sum(axis=1) > 0.9).all()


def test_layouts_that_are_only_counts() -> None:
    assert np.array_equal(
        stereo_matrix(AudioLayout("6 channels")), stereo_matrix(AudioLayout("5.1"))
    )
    assert np.allclose(stereo_matrix(AudioLayout("11 channels")), 1 / 11)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("target", [1, 2])
def test_mono_and_stereo_are_the_references(channels: int, target: int) -> None:
    samples = tone(0.1, 24_000, channels)
    want = reference_convert(torch.from_numpy(samples), 24_000, 24_000, target)
    assert np.array_equal(with_channels(samples, target), want.numpy())


def test_mono_from_5_1_is_the_mean_of_its_stereo() -> None:
    samples = tone(0.1, 48_000, 6)
    layout = AudioLayout("5.1")
    stereo = with_channels(samples, 2, layout)
    mono = with_channels(samples, 1, layout)
    assert np.allclose(mono[0], stereo.mean(axis=0), atol=1e-7)
    cut = [with_channels(samples[:, i : i + 7], 2, layout) for i in range(0, 4800, 7)]
    assert np.array_equal(np.concatenate(cut, axis=1), stereo)


def test_only_mono_and_stereo_models() -> None:
    with pytest.raises(InvalidAudioError):
        open_audio(io.BytesIO(), 24_000, 3)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="compares with the ffmpeg program")
def test_the_same_as_the_ffmpeg_program(tmp_path: Path) -> None:
    samples = tone(0.5, 48_000, 6)
    source = tmp_path / "in.wav"
    source.write_bytes(encode(samples, 48_000, "wav", "pcm_s16le", layout="5.1"))
    target = tmp_path / "out.wav"
    command = ["ffmpeg", "-v", "error", "-i", str(source), "-ac", "2"]
    command += ["-c:a", "pcm_s16le", str(target)]
    subprocess.run(command, check=True)
    want = np.concatenate(list(open_audio(target, 48_000, 2)), axis=1)
    got = np.concatenate(list(open_audio(source, 48_000, 2)), axis=1)
    assert np.abs(got - want).max() < 1.5 / 32768
