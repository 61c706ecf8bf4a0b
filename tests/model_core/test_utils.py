from pathlib import Path

import numpy as np
import pytest
import torch
import torchaudio
from encodec.utils import convert_audio as reference_convert

from model_core.audio import open_audio
from model_core.errors import InvalidAudioError
from model_core.utils import convert_audio, load_audio, save_audio
from tests.media import float_wav, tone


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("rate", "target", "wanted"), [(44_100, 24_000, 1), (24_000, 48_000, 2)])
def test_the_references_conversion(channels: int, rate: int, target: int, wanted: int) -> None:
    wav = torch.from_numpy(tone(0.2, rate, channels))
    want = reference_convert(wav, rate, target, wanted)
    assert torch.equal(convert_audio(wav, rate, target, wanted), want)


def test_any_leading_shape() -> None:
    wav = torch.from_numpy(tone(0.1, 44_100, 2))
    want = convert_audio(wav, 44_100, 24_000, 1)
    batch = wav.expand(3, 2, 2, -1) * torch.tensor([1.0, 0.5, 2.0]).view(3, 1, 1, 1)
    got = convert_audio(batch, 44_100, 24_000, 1)
    assert got.shape == (3, 2, 1, want.shape[-1])
    assert torch.allclose(got[1, 0], want * 0.5, atol=1e-6)
    assert convert_audio(batch[:, 0, :1], 44_100, 48_000, 2).shape[:2] == (3, 2)
    assert convert_audio(torch.ones(1, 10), 24_000, 24_000, 5).shape == (5, 10)


@pytest.mark.parametrize(("rate", "target"), [(1009, 997), (997, 1009), (4001, 1013)])
def test_odd_rates_are_torchaudios_too(rate: int, target: int) -> None:
    """Where its kernel is large but can still be had."""
    wav = torch.rand(3, 2, 2000)
    want = torchaudio.transforms.Resample(rate, target)(wav)
    got = convert_audio(wav, rate, target, 2)
    assert got.shape == want.shape
    assert torch.allclose(got, want, atol=1e-6)
    double = convert_audio(wav.double(), rate, target, 2)
    assert double.dtype == torch.float64
    assert torch.allclose(double, want.double(), atol=1e-6)
    assert torch.allclose(convert_audio(wav.requires_grad_(), rate, target, 2), want, atol=1e-6)
    convert_audio(wav, rate, target, 2).sum().backward()
    assert wav.grad is not None


def test_odd_rates_take_no_gigabytes() -> None:
    """44 101 Hz of 1.1 s took 8.5 GB; the rates here would take sixty times as much."""
    assert convert_audio(torch.rand(2, 400_000), 352_801, 192_000, 2).shape == (2, 217_687)


@pytest.mark.parametrize("shape", [(1, 0), (3, 2, 0), (0, 2, 100)])
@pytest.mark.parametrize("rate", [24_000, 44_100, 44_101])
def test_nothing_stays_nothing(shape: tuple[int, ...], rate: int) -> None:
    length = -(-shape[-1] * 24_000 // rate)
    assert convert_audio(torch.zeros(shape), rate, 24_000, 1).shape == (*shape[:-2], 1, length)


def test_rates_are_whole() -> None:
    wav = torch.rand(1, 100)
    want = convert_audio(wav, 44_100, 24_000, 1)
    assert torch.equal(convert_audio(wav, 44_100.0, 24_000.0, 1), want)
    for rate in (44_100.5, 0, -1, float("nan"), float("inf")):
        with pytest.raises(InvalidAudioError):
            convert_audio(wav, rate, 24_000, 1)
        with pytest.raises(InvalidAudioError):
            convert_audio(wav, 24_000, rate, 1)


def test_integers_are_not_resampled() -> None:
    with pytest.raises(InvalidAudioError, match="floats"):
        convert_audio(torch.ones(1, 100, dtype=torch.int16), 44_101, 24_000, 2)


def test_integers_are_not_mixed() -> None:
    with pytest.raises(InvalidAudioError, match="int16"):
        convert_audio(torch.ones(2, 100, dtype=torch.int16), 24_000, 24_000, 1)


def test_double_stays_double() -> None:
    wav = torch.rand(2, 1000, dtype=torch.float64)
    want = torchaudio.transforms.Resample(44_100, 24_000).double()(wav.mean(0, keepdim=True))
    assert torch.equal(convert_audio(wav, 44_100, 24_000, 1), want)


@pytest.mark.parametrize("shape", [(10,), (3, 10), (2, 0, 10)])
def test_shapes_that_are_no_mono_or_stereo(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidAudioError):
        convert_audio(torch.zeros(shape), 24_000, 24_000, 1)


def test_stereo_to_more_channels_is_refused() -> None:
    with pytest.raises(InvalidAudioError):
        convert_audio(torch.zeros(2, 10), 24_000, 24_000, 3)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".WAV"])
@pytest.mark.parametrize("rescale", [False, True])
def test_saved_audio_is_clipped_or_rescaled(tmp_path: Path, suffix: str, rescale: bool) -> None:
    wav = torch.from_numpy(tone(1.0, 24_000, 2) * 6)
    peak = wav.abs().max()
    path = tmp_path / f"out{suffix}"
    save_audio(wav, path, 24_000, rescale=rescale)
    want = wav * (0.99 / peak).clamp(max=1) if rescale else wav.clamp(-0.99, 0.99)
    got = np.concatenate(list(open_audio(path, 24_000, 2)), axis=1)
    assert got.shape == tuple(wav.shape)
    assert np.abs(got - want.numpy()).max() < 1.6 / 32768


def test_saved_ogg_sounds_like_it(tmp_path: Path) -> None:
    wav = torch.from_numpy(tone(1.0, 48_000, 2))
    save_audio(wav, str(tmp_path / "out.ogg"), 48_000)
    got = np.concatenate(list(open_audio(tmp_path / "out.ogg", 48_000, 2)), axis=1)
    assert got.shape == tuple(wav.shape)
    assert np.mean((got - wav.numpy()) ** 2) < 0.05 * np.mean(wav.numpy() ** 2)


@pytest.mark.parametrize(
    ("suffix", "rate"), [(".ogg", 48_000), (".ogg", 24_000), (".flac", 44_100), (".wav", 44_100)]
)
@pytest.mark.parametrize("samples", [1, 100, 10_000, 24_001, 100_001])
@pytest.mark.parametrize("channels", [1, 2])
def test_saved_audio_has_its_length(
    tmp_path: Path, suffix: str, rate: int, samples: int, channels: int
) -> None:
    save_audio(torch.rand(channels, samples) * 0.5, tmp_path / f"x{suffix}", rate)
    wav, read = load_audio(tmp_path / f"x{suffix}")
    assert read == (48_000 if suffix == ".ogg" else rate)  # Opus is always decoded at 48 kHz
    assert wav.shape == (channels, samples * read // rate)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_the_rate_to_save_is_whole(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    save_audio(torch.rand(1, 100), path, 24_000.0)
    before = path.read_bytes()
    with pytest.raises(InvalidAudioError, match="whole"):
        save_audio(torch.rand(1, 100), path, 24_000.5)
    assert path.read_bytes() == before


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    for wav, name in (
        (torch.zeros(10), "a.wav"),
        (torch.full((1, 10), torch.nan), "a.wav"),
        (torch.zeros(1, 10), "a.xyz"),
        (torch.zeros(1, 10, dtype=torch.int16), "a.wav"),
    ):
        with pytest.raises(InvalidAudioError):
            save_audio(wav, tmp_path / name, 24_000)


def test_load_audio_gives_the_file_at_its_own_rate(tmp_path: Path) -> None:
    samples = tone(0.3, 44_100, 2)
    path = tmp_path / "x.wav"
    path.write_bytes(float_wav(samples, 44_100))
    wav, rate = load_audio(path)
    assert rate == 44_100
    assert torch.equal(wav, torch.from_numpy(samples))
    with pytest.raises(InvalidAudioError):
        load_audio(tmp_path / "nothing.wav")


@pytest.mark.parametrize(
    ("shape", "rate"), [((48_000, 1), 24_000), ((1, 100), 0), ((1, 100), -1), ((2, 100), 2**31)]
)
def test_what_no_wav_can_say(shape: tuple[int, int], rate: int, tmp_path: Path) -> None:
    """A waveform the wrong way round is the likeliest; what stood there before stays."""
    path = tmp_path / "x.wav"
    path.write_bytes(b"before")
    with pytest.raises(InvalidAudioError, match="WAV"):
        save_audio(torch.zeros(shape), path, rate)
    assert path.read_bytes() == b"before"


def test_load_audio_takes_an_open_file(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(float_wav(tone(0.5, 24_000), 24_000))
    expected, rate = load_audio(path)
    with path.open("rb") as file:
        wav, found = load_audio(file)
    assert torch.equal(wav, expected)
    assert found == rate == 24_000
