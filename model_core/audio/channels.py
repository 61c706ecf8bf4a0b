"""Channel conversion, before resampling.

Stereo to mono is the mean of both channels; mono to stereo copies the channel (reference
encodec/utils.py `convert_audio`). More channels become stereo by libswresample's matrix, as with
`ffmpeg -ac 2` on integer samples: normalised so that it cannot clip, without LFE. Mono from more
channels is the mean of that stereo.
"""

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.audio.resampler import AudioResampler

from model_core.audio.samples import Samples
from model_core.errors import InvalidAudioError

Matrix = npt.NDArray[np.float32]


def stereo_matrix(layout: AudioLayout) -> Matrix:
    """libswresample's downmix of `layout` to stereo, `[2, C]`.

    A layout that gives only a number of channels is treated as FFmpeg's default for that number;
    if there is no default, both sides are the mean of all channels.
    """
    count = layout.nb_channels
    for name in (layout.name, f"{count}c"):
        try:
            return _measured(AudioLayout(name))
        except (av.FFmpegError, ValueError):
            continue
    return np.full((2, count), 1 / count, np.float32)


def _measured(layout: AudioLayout) -> Matrix:
    """Sends an impulse through each channel and reads both sides of the output."""
    count = layout.nb_channels
    impulses = np.eye(count, dtype=np.float32).reshape(1, -1)
    frame = AudioFrame.from_ndarray(impulses, format="flt", layout=layout)
    frame.sample_rate = 48_000
    mixer = AudioResampler(
        format="flt", layout="stereo", rate=48_000, options={"rematrix_maxval": "1.0"}
    )
    parts = [out.to_ndarray() for out in [*mixer.resample(frame), *mixer.resample(None)]]
    mixed = np.concatenate(parts, axis=1).reshape(-1, 2)
    if mixed.shape[0] != count or not mixed.any():
        raise ValueError(f"no downmix of {layout.name}")
    return np.ascontiguousarray(mixed.T, dtype=np.float32)


class ChannelConverter:
    """Blocks of any layout -> `[channels, n]`; `channels` is 1, 2 or the number of the input."""

    def __init__(self, channels: int) -> None:
        if channels not in (1, 2):
            raise InvalidAudioError(f"cannot convert to {channels} channels, only to 1 or 2")
        self._channels = channels
        self._matrices: dict[str, Matrix] = {}

    def convert(self, samples: Samples, layout: AudioLayout | None = None) -> Samples:
        """`samples` `[C, n]` and their speaker layout, if known -> `[channels, n]`."""
        if samples.shape[0] > 2:
            samples = self._to_stereo(samples, layout)
        if samples.shape[0] == self._channels:
            return samples
        if self._channels == 1:
            return (samples[:1] + samples[1:]) / np.float32(2)
        return np.repeat(samples, self._channels, axis=0)

    def _to_stereo(self, samples: Samples, layout: AudioLayout | None) -> Samples:
        count = samples.shape[0]
        name = layout.name if layout is not None else f"{count}c"
        matrix = self._matrices.get(name)
        if matrix is None:
            matrix = stereo_matrix(layout if layout is not None else _default_layout(count))
            self._matrices[name] = matrix
        # The order of the sum is fixed: the result does not depend on the length of the block.
        mixed = np.zeros((2, samples.shape[1]), np.float32)
        for side in range(2):
            for channel in range(count):
                if matrix[side, channel]:
                    mixed[side] += matrix[side, channel] * samples[channel]
        return mixed


def _default_layout(count: int) -> AudioLayout:
    return AudioLayout(f"{count}c")
