"""`convert_audio` and `save_audio`, as in the reference repository's encodec/utils.py, and
`load_audio`, which the reference leaves to torchaudio."""

import math
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import torch
import torchaudio
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream

from model_core.audio.input import MediaInput, PlainBytes, SeekableBytes
from model_core.audio.reader import MediaReader
from model_core.audio.resample import resampler
from model_core.audio.wav import pcm16, rescale_factor, wav_header
from model_core.errors import InvalidAudioError

_CODECS = {".flac": "flac", ".ogg": "libopus"}
_ENCODER_BLOCK = 4096  # samples given to an encoder at once
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
    more than 2, rates that are no whole numbers above 0, and integers to resample.
    """
    if wav.dim() < 2:
        raise InvalidAudioError(f"audio needs the dimensions [..., C, T], got {list(wav.shape)}")
    *shape, channels, length = wav.shape
    if channels not in (1, 2):
        raise InvalidAudioError(f"audio must be mono or stereo, not of {channels} channels")
    if target_channels == 1:
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
    if not wav.is_floating_point():
        raise InvalidAudioError(f"samples to resample must be floats, not {wav.dtype}")
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


def _hertz(rate: float) -> int:
    """A sample rate as a whole number."""
    if not float(rate).is_integer():
        raise InvalidAudioError(f"a sample rate must be a whole number of Hz, not {rate}")
    return int(rate)


def load_audio(source: Path | str | SeekableBytes | PlainBytes) -> tuple[torch.Tensor, int]:
    """Any audio file, or an open binary one, as `(wav [C, T] float32, its sample rate in Hz)`.

    What `torchaudio.load` did before it came to need another package. Raises `InvalidAudioError`
    for a file that cannot be read, or whose channels change on the way.
    """
    if not isinstance(source, Path | str):
        return _loaded(source)
    path = Path(source)
    try:
        file = path.open("rb")
    except OSError as error:
        raise InvalidAudioError(f"cannot open {path}: {error.strerror}") from error
    with file:
        return _loaded(file)


def _loaded(file: SeekableBytes | PlainBytes) -> tuple[torch.Tensor, int]:
    with closing(MediaReader(MediaInput(file))) as reader:
        blocks = [samples for samples, _ in reader]
        if len({len(block) for block in blocks}) != 1:
            raise InvalidAudioError("the file does not keep one number of channels")
        return torch.from_numpy(np.concatenate(blocks, axis=1)), reader.info.sample_rate


def save_audio(
    wav: torch.Tensor, path: Path | str, sample_rate: float, rescale: bool = False
) -> None:
    """Writes `wav` `[C, T]` with 16 bits: `.wav`, or `.flac` and `.ogg` (Opus) through FFmpeg.

    Clipped to ±0.99, or with `rescale` multiplied so that its peak is at most 0.99. Raises
    `InvalidAudioError` for another shape, an unknown suffix, samples that are not finite, and a
    rate or number of channels that the format cannot say.
    """
    path, rate = Path(path), _hertz(sample_rate)
    if wav.dim() != 2 or wav.shape[0] == 0:
        raise InvalidAudioError(f"audio to save must be [C, T], got {list(wav.shape)}")
    samples = wav.detach().to("cpu", torch.float32).numpy()
    if not np.isfinite(samples).all():
        raise InvalidAudioError("the audio to save has samples that are NaN or infinite")
    factor = rescale_factor(float(np.abs(samples).max(initial=0))) if rescale else 1.0
    suffix = path.suffix.lower()
    if suffix == ".wav":
        header = wav_header(rate, *samples.shape)
        data = pcm16(samples, factor)
        with path.open("wb") as file:
            file.write(header)
            file.write(data)
    elif suffix in _CODECS:
        pcm = np.frombuffer(pcm16(samples, factor), "<i2").reshape(1, -1)
        _encode(pcm, path, _CODECS[suffix], rate, samples.shape[0])
    else:
        raise InvalidAudioError(f"cannot write {path.name}: only .wav, .flac and .ogg are known")


def _encode(
    pcm: "np.typing.NDArray[np.int16]", path: Path, codec: str, sample_rate: int, channels: int
) -> None:
    """Interleaved `pcm` `[1, T · C]` through one of FFmpeg's encoders."""
    layout = f"{channels}c"
    try:
        with av.open(str(path), "w") as container:
            stream = cast(AudioStream, container.add_stream(codec, rate=sample_rate))
            stream.codec_context.layout = layout
            for start in range(0, pcm.shape[1], _ENCODER_BLOCK * channels):
                block = np.ascontiguousarray(pcm[:, start : start + _ENCODER_BLOCK * channels])
                frame = AudioFrame.from_ndarray(block, format="s16", layout=layout)
                frame.sample_rate = sample_rate
                # With its place known, an encoder's padding is marked, and dropped on reading.
                frame.pts, frame.time_base = start // channels, Fraction(1, sample_rate)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except (av.FFmpegError, ValueError) as error:
        raise InvalidAudioError(f"cannot write {path.name}: {error}") from error
