"""The reference's `convert_audio` and `save_audio` (encodec/utils.py), and `load_audio`, which it
leaves to torchaudio."""

import math
from pathlib import Path

import numpy as np
import torch
import torchaudio

from model_core.audio.files import read_whole, write_whole
from model_core.audio.input import PlainBytes, SeekableBytes
from model_core.audio.resample import resampler
from model_core.errors import InvalidAudioError

_MAX_KERNEL = 1 << 19  # numbers in torchaudio's kernel, above which it is not asked
_ROWS = 16  # channels resampled at once where it is not


def convert_audio(
    wav: torch.Tensor, sr: float, target_sr: float, target_channels: int
) -> torch.Tensor:
    """Mono or stereo `wav` `[..., C, T]` at `sr` Hz -> `[..., target_channels, T']` at `target_sr`.

    To mono by the mean, to more channels by repetition, then resampled with torchaudio's defaults:
    T' = ceil(T · target_sr / sr). For rates whose ratio does not reduce, such as 44 101 to 24 000,
    torchaudio takes gigabytes; samples that need no gradient then go through this project's own
    resampler, on the CPU in float32 and within 1e-6 of it.

    Raises `InvalidAudioError` for fewer than two dimensions, other than 1 or 2 channels, stereo to
    more than 2, rates that are no whole numbers above 0, and integers to mix or to resample.
    """
    if wav.dim() < 2:
        raise InvalidAudioError(f"audio needs the dimensions [..., C, T], got {list(wav.shape)}")
    *shape, channels, length = wav.shape
    if target_channels < 1:
        raise InvalidAudioError(f"cannot convert to {target_channels} channels")
    if channels not in (1, 2):
        raise InvalidAudioError(f"audio must be mono or stereo, not of {channels} channels")
    if target_channels == 1:
        _require_floats(wav, "mix")
        wav = wav.mean(-2, keepdim=True)
    elif target_channels == 2 or channels == 1:
        wav = wav.expand(*shape, target_channels, length)
    else:
        raise InvalidAudioError(f"cannot convert {channels} to {target_channels} channels")
    source, target = _hertz(sr), _hertz(target_sr)
    if source == target:
        return wav
    return _resampled(wav, source, target)


def _resampled(wav: torch.Tensor, source: int, target: int) -> torch.Tensor:
    """`[..., T]` at `source` Hz -> `[..., ceil(T · target / source)]`."""
    if source <= 0 or target <= 0:
        raise InvalidAudioError(f"cannot resample from {source} to {target} Hz")
    _require_floats(wav, "resample")
    if wav.numel() == 0:
        return wav.new_zeros(*wav.shape[:-1], -(-wav.shape[-1] * target // source))
    needs_gradient = wav.requires_grad and torch.is_grad_enabled()
    gcd = math.gcd(source, target)  # the kernel has about (source / gcd) · (target / gcd) numbers
    if needs_gradient or source * target <= _MAX_KERNEL * gcd * gcd:
        # an expanded tensor has no flat view, which torchaudio needs
        return torchaudio.transforms.Resample(source, target).to(wav)(wav.contiguous())
    flat = wav.detach().to("cpu", torch.float32).reshape(-1, wav.shape[-1])
    rows = []
    for part in torch.split(flat, _ROWS):
        resample = resampler(len(part), source, target)
        made = [resample.push(part.numpy()), resample.finish()]
        rows.append(np.concatenate(made, axis=1))
    return torch.from_numpy(np.concatenate(rows)).to(wav).view(*wav.shape[:-1], -1)


def _require_floats(wav: torch.Tensor, purpose: str) -> None:
    if not wav.is_floating_point():
        raise InvalidAudioError(f"samples to {purpose} must be floats, not {wav.dtype}")


def _hertz(rate: float) -> int:
    """A sample rate as a whole number."""
    if not float(rate).is_integer():
        raise InvalidAudioError(f"a sample rate must be a whole number of Hz, not {rate}")
    return int(rate)


def load_audio(source: Path | str | SeekableBytes | PlainBytes) -> tuple[torch.Tensor, int]:
    """Any audio file, or an open binary one, as `(wav [C, T] float32, its sample rate in Hz)`.

    What `torchaudio.load` did before it came to need another package. Samples are those of the
    file, NaN and infinite ones too. Raises `InvalidAudioError` for a file that cannot be read, or
    whose channels change on the way.
    """
    samples, rate = read_whole(source)
    return torch.from_numpy(samples), rate


def save_audio(
    wav: torch.Tensor, path: Path | str, sample_rate: float, rescale: bool = False
) -> None:
    """Writes `wav` `[C, T]` with 16 bits: `.wav`, or `.flac` and `.ogg` (Opus) through FFmpeg.

    Clipped to ±0.99, or with `rescale` multiplied so that its peak is at most 0.99. Raises
    `InvalidAudioError` for another shape, integers, an unknown suffix, samples that are not finite,
    and a rate or number of channels that the format cannot say.
    """
    rate = _hertz(sample_rate)
    _require_floats(wav, "save")
    if wav.dim() != 2 or wav.shape[0] == 0:
        raise InvalidAudioError(f"audio to save must be [C, T], got {list(wav.shape)}")
    write_whole(wav.detach().to("cpu", torch.float32).numpy(), Path(path), rate, rescale)
