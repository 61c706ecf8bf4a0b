"""Decoded frames as float32 `[C, n]`, and their channels as the model has them.

Integers are divided by their full scale, as in libsndfile and torchaudio: u8 is (x - 128) / 128,
s16 is x / 2¹⁵, s32 (and s24, which FFmpeg keeps in the upper bits of s32) is x / 2³¹, s64 is
x / 2⁶³; floats stay as they are.

Stereo to mono is the mean of both channels; mono to stereo copies the channel (reference
encodec/utils.py `convert_audio`). More channels become stereo by libswresample's matrix, as with
`ffmpeg -ac 2` on integer samples: normalised so that it cannot clip, without LFE. Mono from more
channels is the mean of that stereo.
"""

from functools import lru_cache
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.audio.plane import AudioPlane
from av.audio.resampler import AudioResampler

from model_core.errors import InvalidAudioError

Samples = npt.NDArray[np.float32]
"""`[C, n]` float32."""

_TYPES = {
    "u8": ("u1", 2.0**-7),
    "s16": ("i2", 2.0**-15),
    "s32": ("i4", 2.0**-31),
    "s64": ("i8", 2.0**-63),
    "flt": ("f4", 1.0),
    "dbl": ("f8", 1.0),
}


def frame_samples(frame: AudioFrame) -> Samples:
    """The samples of one decoded frame, `[C, n]` float32, in memory of their own.

    Raises `InvalidAudioError` for a sample format that is not linear PCM.
    """
    name = frame.format.name
    try:
        dtype, scale = _TYPES[name.removesuffix("p")]
    except KeyError:
        raise InvalidAudioError(f"sample format {name} is not supported") from None
    channels, count = frame.layout.nb_channels, frame.samples
    if name.endswith("p"):
        # `frame.planes` reads past its array from 8 channels on, so planes are read one by one.
        planes: list[Any] = [AudioPlane(frame, index) for index in range(channels)]
        raw = np.stack([np.frombuffer(plane, dtype, count) for plane in planes])
    else:
        plane: Any = AudioPlane(frame, 0)  # Any: its stub lacks the buffer protocol
        raw = np.frombuffer(plane, dtype, count * channels).reshape(count, channels).T
    return scaled(raw, scale)


def scaled(raw: npt.NDArray[Any], scale: float) -> Samples:
    """`raw · scale` as contiguous float32; unsigned bytes are centred first."""
    if raw.dtype == np.uint8:
        raw = raw.astype(np.int16) - 128
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf and is refused later
        samples = np.ascontiguousarray(raw, dtype=np.float32)
    if scale != 1.0:
        samples = samples * np.float32(scale)
    return samples if samples.flags.owndata else samples.copy()


def with_channels(samples: Samples, channels: int, layout: AudioLayout | None = None) -> Samples:
    """`samples` `[C, n]` and their speaker layout, if known -> `[channels, n]`, 1 or 2."""
    if len(samples) > 2:
        samples = _to_stereo(samples, layout)
    if len(samples) == channels:
        return samples
    if channels == 1:
        return (samples[:1] + samples[1:]) / np.float32(2)
    return np.repeat(samples, channels, axis=0)


def _to_stereo(samples: Samples, layout: AudioLayout | None) -> Samples:
    count, length = samples.shape
    matrix = _stereo_matrix(f"{count}c", count) if layout is None else stereo_matrix(layout)
    # The order of the sum is fixed: the result does not depend on the length of the block.
    mixed = np.zeros((2, length), np.float32)
    for side, factors in zip(mixed, matrix, strict=True):
        for factor, channel in zip(factors, samples, strict=True):
            if factor:
                side += factor * channel
    return mixed


def stereo_matrix(layout: AudioLayout) -> Samples:
    """libswresample's downmix of `layout` to stereo, `[2, C]`.

    A layout that gives only a number of channels is treated as FFmpeg's default for that number;
    if there is no default, both sides are the mean of all channels.
    """
    return _stereo_matrix(layout.name, layout.nb_channels)


@lru_cache(maxsize=16)
def _stereo_matrix(name: str, count: int) -> Samples:
    for tried in (name, f"{count}c"):
        try:
            return _measured(AudioLayout(tried))
        except (av.FFmpegError, ValueError):
            continue
    return np.full((2, count), 1 / count, np.float32)


def _measured(layout: AudioLayout) -> Samples:
    """Sends an impulse through each channel and reads both sides of the output."""
    count = layout.nb_channels
    impulses = np.eye(count, dtype=np.float32).reshape(1, -1)
    frame = AudioFrame.from_ndarray(impulses, format="flt", layout=layout)
    frame.sample_rate = 48_000
    mixer = AudioResampler("flt", "stereo", 48_000, options={"rematrix_maxval": "1.0"})
    parts = [out.to_ndarray() for out in [*mixer.resample(frame), *mixer.resample(None)]]
    mixed = np.concatenate(parts, axis=1).reshape(-1, 2)
    if mixed.shape[0] != count or not mixed.any():
        raise ValueError(f"no downmix of {layout.name}")
    return np.ascontiguousarray(mixed.T, dtype=np.float32)
