"""Good files of 13 kinds, to make broken ones of."""

import io

import av
import numpy as np

from model_core.audio import wav_header
from tests.service.sounds import sound, wav

# container, codec, rate in Hz
_FORMATS = (
    ("wav", "pcm_s16le", 44_100),
    ("wav", "pcm_f32le", 48_000),
    ("aiff", "pcm_s16be", 44_100),
    ("au", "pcm_mulaw", 8_000),
    ("caf", "pcm_s16be", 44_100),
    ("flac", "flac", 44_100),
    ("mp3", "libmp3lame", 44_100),
    ("ogg", "libopus", 48_000),
    ("webm", "libopus", 48_000),
    ("matroska", "libopus", 48_000),
    ("ipod", "aac", 44_100),
    ("ipod", "alac", 44_100),
    ("adts", "aac", 44_100),
)


def long_wav(seconds: int, rate: int = 8_000) -> bytes:
    """The same ten seconds again and again, at least `seconds`: a signal takes long to make."""
    samples = wav(10.0, rate)[44:] * -(-seconds // 10)
    return wav_header(rate, 1, len(samples) // 2) + samples


def media_files(seconds: float = 0.5) -> list[bytes]:
    """One of each kind that FFmpeg can write here."""
    return [_file(*kind, seconds) for kind in _FORMATS]


def _file(container: str, codec: str, rate: int, seconds: float) -> bytes:
    file = io.BytesIO()
    samples = (sound(1, seconds, rate) * 20_000).astype(np.int16)
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout="mono")
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = rate
        for packet in (*stream.encode(frame), *stream.encode(None)):
            output.mux(packet)
    return file.getvalue()
