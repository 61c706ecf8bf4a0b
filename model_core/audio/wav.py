"""16-bit PCM WAV: its header and its samples.

The `.ecdc` header gives the number of samples, so the WAV header is final. Above 4 GB the file is
RF64 (EBU Tech 3306): the 32-bit sizes are all ones, the true ones are in `ds64`.
"""

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from model_core.errors import InvalidAudioError

LIMIT = 0.99  # samples are kept within ±LIMIT (reference encodec/utils.py save_audio)
_PCM = 1
_BYTES = 2  # per sample and channel
_MAX16 = 0xFFFF
_MAX32 = 0xFFFF_FFFF


def wav_header(sample_rate: int, channels: int, num_samples: int) -> bytes:
    """Everything before the samples of a 16-bit PCM WAV of `num_samples` per channel.

    44 bytes, or 80 for RF64, which is used when a size does not fit 32 bits. Raises
    `InvalidAudioError` for a rate or number of channels that do not fit their fields.
    """
    frame = channels * _BYTES
    data = num_samples * frame
    byte_rate = sample_rate * frame
    if not (0 < frame <= _MAX16 and 0 < byte_rate <= _MAX32):
        raise InvalidAudioError(f"a WAV cannot have {channels} channels at {sample_rate} Hz")
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, _PCM, channels, sample_rate, byte_rate, frame, 16)
    if 36 + data <= _MAX32:
        riff = struct.pack("<4sI4s", b"RIFF", 36 + data, b"WAVE")
        return riff + fmt + struct.pack("<4sI", b"data", data)
    riff = struct.pack("<4sI4s", b"RF64", _MAX32, b"WAVE")
    ds64 = struct.pack("<4sIQQQI", b"ds64", 28, 72 + data, data, num_samples, 0)
    return riff + ds64 + fmt + struct.pack("<4sI", b"data", _MAX32)


def rescale_factor(peak: float) -> float:
    """The factor that brings `peak` (the largest |sample|) within ±0.99; at most 1."""
    return min(LIMIT / peak, 1.0) if peak > 0 else 1.0


def pcm16(samples: npt.NDArray[Any], factor: float = 1.0) -> bytes:
    """`[C, n]` floats -> interleaved little-endian `round(clip(x · factor, ±0.99) · 32767)`.

    To rescale instead of clipping, `factor` is the `rescale_factor` of the whole signal.
    """
    values = np.asarray(samples, dtype=np.float32)
    if factor != 1.0:
        values = values * np.float32(factor)
    values = np.clip(values, np.float32(-LIMIT), np.float32(LIMIT)) * np.float32(32767)
    return np.rint(values).T.astype("<i2").tobytes()
