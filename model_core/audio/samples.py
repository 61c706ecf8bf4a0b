"""FFmpeg's sample formats as float32 in [-1, 1): integers are divided by their full scale.

As in libsndfile and torchaudio: u8 is (x - 128) / 128, s16 is x / 2¹⁵, s32 (and s24, which FFmpeg
keeps in the upper bits of s32) is x / 2³¹, s64 is x / 2⁶³; floats stay as they are.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.plane import AudioPlane

from model_core.errors import InvalidAudioError

Samples = npt.NDArray[np.float32]
"""`[C, n]` float32."""

_TYPES: dict[str, tuple[str, float]] = {
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
    planar = name.endswith("p")
    try:
        dtype, scale = _TYPES[name.removesuffix("p")]
    except KeyError:
        raise InvalidAudioError(f"sample format {name} is not supported") from None
    channels, count = frame.layout.nb_channels, frame.samples
    if planar:
        # `frame.planes` reads past its array from 8 channels on, so planes are read one by one.
        planes: Any = [
            np.frombuffer(_plane(frame, index), dtype, count) for index in range(channels)
        ]
        raw = np.stack(planes)
    else:
        flat = np.frombuffer(_plane(frame, 0), dtype, count * channels)
        raw = flat.reshape(count, channels).T
    return scaled(raw, scale)


def _plane(frame: AudioFrame, index: int) -> Any:
    """The memory of one plane (the buffer protocol, which is missing in its stub)."""
    return AudioPlane(frame, index)


def scaled(raw: npt.NDArray[Any], scale: float) -> Samples:
    """`raw · scale` as contiguous float32; unsigned bytes are centred first."""
    if raw.dtype == np.uint8:
        raw = raw.astype(np.int16) - 128
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf and is refused later
        samples = np.ascontiguousarray(raw, dtype=np.float32)
    if scale != 1.0:
        samples = samples * np.float32(scale)
    return samples if samples.flags.owndata else samples.copy()
