"""Audio in and out: any container -> float32 blocks at the model's rate; 16-bit WAV out.

`source` is the whole way in. It uses `reader` (FFmpeg, over the bytes of `input`, and whether they
are all there: `completeness`) or `raw`, then `samples` (formats and channels) and `resample`. `wav`
is the way out.
"""

from model_core.audio.raw import RawFormat, parse_content_type
from model_core.audio.reader import SourceInfo
from model_core.audio.source import open_audio
from model_core.audio.wav import LIMIT, WavWriter, pcm16, rescale_factor, wav_header, wav_size

__all__ = [
    "LIMIT",
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
