"""Audio in and out: any container -> float32 blocks at the model's rate; WAV, FLAC, Opus, MP3 out.

`source` is the whole way in. It uses `reader` (FFmpeg, over the bytes of `input`, and whether they
are all there: `completeness`) or `raw`, then `samples` (formats and channels) and `resample`. The
way out is `output`, with `formats`, `wav` and `rescaling`. `tags` are for both.
"""

from model_core.audio.formats import FORMATS, AudioFormat
from model_core.audio.output import (
    ORIGINAL,
    Converter,
    Encoder,
    choose_channels,
    choose_rate,
    converted_length,
    encoder,
)
from model_core.audio.raw import RawFormat, parse_content_type
from model_core.audio.reader import SourceInfo
from model_core.audio.rescaling import WaitingSamples
from model_core.audio.source import AudioSource, open_audio
from model_core.audio.tags import Tags, clean_tags
from model_core.audio.wav import LIMIT, pcm16, rescale_factor, wav_header

__all__ = [
    "FORMATS",
    "LIMIT",
    "ORIGINAL",
    "AudioFormat",
    "AudioSource",
    "Converter",
    "Encoder",
    "RawFormat",
    "SourceInfo",
    "Tags",
    "WaitingSamples",
    "choose_channels",
    "choose_rate",
    "clean_tags",
    "converted_length",
    "encoder",
    "open_audio",
    "parse_content_type",
    "pcm16",
    "rescale_factor",
    "wav_header",
]
