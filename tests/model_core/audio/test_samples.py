"""Sample formats and channels."""

import io
import shutil
import struct
import subprocess
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from av.audio.layout import AudioLayout
from encodec.utils import convert_audio as reference_convert

from model_core.audio import RawFormat, open_audio
from model_core.audio.input import MediaInput
from model_core.audio.reader import MediaReader
from model_core.audio.samples import stereo_matrix, with_channels
from model_core.errors import InvalidAudioError
from tests.media import Floats, encode, tone


def decoded(data: bytes) -> Floats:
    """The samples as they are in the file, `[C, n]`."""
    with closing(MediaReader(MediaInput(io.BytesIO(data)))) as reader:
        return np.concatenate([samples for samples, _ in reader], axis=1)


@pytest.mark.parametrize(
    ("codec", "step"),
    [
        ("pcm_u8", 2**-7),
        ("pcm_s16le", 2**-15),
        ("pcm_s24le", 2**-23),
        ("pcm_s32le", 2**-24),
        ("pcm_f32le", 0.0),
        ("pcm_f64le", 0.0),
    ],
)
def test_every_pcm_format_has_its_full_scale(codec: str, step: float) -> None:
    samples = tone(0.3, 44_100, 2)
    got = decoded(encode(samples, 44_100, "wav", codec))
    assert got.shape == samples.shape
    assert np.abs(got - samples).max() <= step


def test_s16_is_exact_to_the_bit() -> None:
    values = np.arange(-32768, 32768, 7, dtype="<i2")
    header = encode(tone(0.01, 8000), 8000, "wav", "pcm_s16le")
    start = header.index(b"data")
    size = struct.pack("<I", values.nbytes)
    got = decoded(header[: start + 4] + size + values.tobytes())
    assert np.array_equal(got[0], values.astype(np.float32) / 32768)


def test_eight_planar_channels() -> None:
    samples = tone(0.5, 48_000, 8)
    got = decoded(encode(samples, 48_000, "matroska", "aac", layout="7.1"))
    assert got.shape[0] == 8
    assert np.isfinite(got).all()
    assert np.abs(got).max() < 1


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


@pytest.mark.parametrize("channels", [3, 8, 11, 64])
def test_headerless_audio_of_any_number_of_channels(channels: int) -> None:
    data = np.full((1_000, channels), 1 << 14, ">i2").tobytes()
    for target in (1, 2):
        (block,) = open_audio(io.BytesIO(data), 24_000, target, RawFormat(24_000, channels))
        assert block.shape == (target, 1_000)
        assert np.allclose(block, 0.5, atol=1e-6)


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
