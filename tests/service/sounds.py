"""Test recordings in the usual containers."""

import io
from functools import lru_cache

import av
import numpy as np

from model_core.audio import pcm16, wav_header
from tests.peers import signal

# container, codec, rate in Hz
FORMATS = {
    "wav": ("wav", "pcm_s16le", 44_100),
    "flac": ("flac", "flac", 44_100),
    "mp3": ("mp3", "libmp3lame", 44_100),
    "ogg": ("ogg", "libopus", 48_000),
    "m4a": ("ipod", "aac", 44_100),
}


def sound(channels: int, seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """`[C, n]` float32."""
    samples = round(seconds * rate)
    return signal(channels, max(1, samples), rate, seed)[:, :samples].numpy()


def wav(seconds: float = 1.3, rate: int = 24_000, channels: int = 1, seed: int = 0) -> bytes:
    """A 16-bit WAV."""
    samples = sound(channels, seconds, rate, seed)
    return wav_header(rate, channels, samples.shape[1]) + pcm16(samples)


def float_wav(samples: np.ndarray, rate: int = 24_000) -> bytes:
    """A mono WAV of 32-bit floats, which can hold anything."""
    data = samples.astype("<f4").tobytes()
    fmt = np.array([3, 1], "<u2").tobytes() + np.array([rate, 4 * rate], "<u4").tobytes()
    fmt += np.array([4, 32], "<u2").tobytes()
    chunks = b"fmt " + len(fmt).to_bytes(4, "little") + fmt
    chunks += b"data" + len(data).to_bytes(4, "little") + data
    return b"RIFF" + (4 + len(chunks)).to_bytes(4, "little") + b"WAVE" + chunks


def l16(seconds: float, rate: int, channels: int) -> bytes:
    """Headerless 16-bit big-endian samples."""
    little = pcm16(sound(channels, seconds, rate))
    return np.frombuffer(little, "<i2").astype(">i2").tobytes()


@lru_cache(maxsize=32)
def encoded(name: str, seconds: float = 1.3, channels: int = 2) -> bytes:
    """A recording in one of `FORMATS`."""
    container, codec, rate = FORMATS[name]
    samples = sound(channels, seconds, rate)
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        layout = "stereo" if channels == 2 else "mono"
        stream = output.add_stream(codec, rate=rate, layout=layout)
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(
            np.frombuffer(pcm16(samples), "<i2").reshape(1, -1),
            format="s16",
            layout=layout,
        )
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            output.mux(packet)
    return file.getvalue()
