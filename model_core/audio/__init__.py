"""Audio in and out: any container -> float32 blocks at the model's rate; 16-bit WAV out.

Reads top to bottom: `source` (the whole way in) uses `reader` (FFmpeg) or `raw`, `channels`, and
`resample`; `wav` is the way out.
"""

from model_core.audio.raw import RawFormat, parse_content_type
from model_core.audio.reader import SourceInfo
from model_core.audio.source import AudioSource, open_audio
from model_core.audio.wav import LIMIT, WavWriter, pcm16, rescale_factor, wav_header, wav_size

__all__ = [
    "LIMIT",
    "AudioSource",
    "RawFormat",
    "SourceInfo",
    "WavWriter",
    "open_audio",
    "parse_content_type",
    "pcm16",
    "rescale_factor",
    "wav_header",
    "wav_size",
]
