"""The files that clients post: typical short clips, and long files."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import av
import numpy as np

from model_core.audio import pcm16, wav_header
from model_core.config import ModelConfig

from ..clips import Clip, CodedClip, sound

_CLIPS = 48
_RATES = (16_000, 24_000, 44_100, 48_000)  # Hz
_TYPICAL, _SPREAD = 2.5, 0.6  # s; of the logarithm
_SHORTEST, _LONGEST = 0.5, 10.0  # s


@dataclass(frozen=True)
class Upload:
    """A 16-bit WAV."""

    body: bytes
    seconds: float


def clip(seconds: float, rate: int, channels: int, seed: int = 0) -> Upload:
    """One clip."""
    samples = sound(channels, round(seconds * rate), rate, seed)
    return Upload(wav_header(rate, channels, samples.shape[1]) + pcm16(samples), seconds)


def encoded(seconds: float, container: str, codec: str, rate: int) -> bytes:
    """A mono clip in another format, as FFmpeg writes it."""
    file = BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate)
        assert isinstance(stream, av.AudioStream)
        samples = sound(1, round(seconds * rate), rate, seed=0)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = rate
        stream.codec_context.layout = "mono"
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


def short_clips(config: ModelConfig) -> Sequence[Upload]:
    """Always the same clips: 0.5 to 10 s, most about 2.5 s.

    For a mono model, they have several rates and are mono or stereo; for a stereo model, they have
    its rate and channels, because such a model is for recordings that need no resampling.
    """
    rng = np.random.default_rng(1)
    lengths = np.clip(_TYPICAL * np.exp(rng.normal(0, _SPREAD, _CLIPS)), _SHORTEST, _LONGEST)
    made = []
    for seed, seconds in enumerate(lengths):
        rate, channels = config.sample_rate, config.channels
        if channels == 1:
            rate, channels = int(rng.choice(_RATES)), int(rng.integers(1, 3))
        made.append(clip(float(seconds), rate, channels, seed))
    return made


def write_wav(long: Clip, path: Path) -> Path:
    """A long WAV at the model's rate and channels."""
    config = long.config
    with path.open("wb") as file:
        file.write(wav_header(config.sample_rate, config.channels, long.samples))
        for piece in long.pieces():
            file.write(pcm16(piece))
    return path


def write_ecdc(coded: CodedClip, header_model: str, path: Path) -> Path:
    """A long `.ecdc` file of random codes."""
    path.write_bytes(coded.header(header_model).to_bytes() + coded.payload())
    return path
