"""Whole files at once: any audio in; 16-bit WAV, FLAC or Opus out."""

from contextlib import closing
from io import BytesIO
from pathlib import Path

import numpy as np

from model_core.audio.formats import FORMATS
from model_core.audio.input import MediaInput, PlainBytes, SeekableBytes
from model_core.audio.output import FFmpegEncoder
from model_core.audio.reader import MediaReader
from model_core.audio.samples import Samples
from model_core.audio.wav import pcm16, rescale_factor, wav_header
from model_core.errors import InvalidAudioError

_FORMATS = {".flac": "flac", ".ogg": "opus"}


def read_whole(source: Path | str | SeekableBytes | PlainBytes) -> tuple[Samples, int]:
    """The samples `[C, T]` and their rate in Hz; see `model_core.utils.load_audio`."""
    if isinstance(source, Path | str):
        path = Path(source)
        try:
            file = path.open("rb")
        except OSError as error:
            raise InvalidAudioError(f"cannot open {path}: {error.strerror}") from error
        with file:
            return read_whole(file)
    with closing(MediaReader(MediaInput(source))) as reader:
        blocks = [samples for samples, _ in reader]
        if len({len(block) for block in blocks}) != 1:
            raise InvalidAudioError("the file does not keep one number of channels")
        return np.concatenate(blocks, axis=1), reader.info.sample_rate


def write_whole(samples: Samples, path: Path, sample_rate: int, rescale: bool) -> None:
    """Writes `[C, T]` in the format of `path`'s suffix; see `model_core.utils.save_audio`."""
    if not np.isfinite(samples).all():
        raise InvalidAudioError("the audio to save has samples that are NaN or infinite")
    factor = rescale_factor(float(np.abs(samples).max(initial=0))) if rescale else 1.0
    suffix = path.suffix.lower()
    if suffix == ".wav":
        header = wav_header(sample_rate, *samples.shape)
        data = pcm16(samples, factor)
        with path.open("wb") as file:
            file.write(header)
            file.write(data)
    elif suffix in _FORMATS:
        coded, (channels, length) = BytesIO(), samples.shape
        format = FORMATS[_FORMATS[suffix]]
        if format.name == "opus" and not length:
            raise InvalidAudioError("an Opus file needs at least one sample")
        writer = FFmpegEncoder(format, sample_rate, channels, length, file=coded)
        writer.push(samples, factor)
        writer.finish()
        path.write_bytes(coded.getbuffer())
    else:
        raise InvalidAudioError(f"cannot write {path.name}: only .wav, .flac and .ogg are known")
