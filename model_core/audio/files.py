"""Whole files at once: any audio in; 16-bit WAV, FLAC or Opus out."""

from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream

from model_core.audio.input import MediaInput, PlainBytes, SeekableBytes
from model_core.audio.reader import MediaReader
from model_core.audio.samples import Samples
from model_core.audio.wav import pcm16, rescale_factor, wav_header
from model_core.errors import InvalidAudioError

_CODECS = {".flac": "flac", ".ogg": "libopus"}
_ENCODER_BLOCK = 4096  # samples given to an encoder at once


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
    elif suffix in _CODECS:
        pcm = np.frombuffer(pcm16(samples, factor), "<i2").reshape(1, -1)
        _encode(pcm, path, _CODECS[suffix], sample_rate, len(samples))
    else:
        raise InvalidAudioError(f"cannot write {path.name}: only .wav, .flac and .ogg are known")


def _encode(
    pcm: npt.NDArray[np.int16], path: Path, codec: str, sample_rate: int, channels: int
) -> None:
    """Interleaved `pcm` `[1, T · C]` through one of FFmpeg's encoders."""
    layout = f"{channels}c"
    try:
        with av.open(str(path), "w") as container:
            stream = cast(AudioStream, container.add_stream(codec, rate=sample_rate))
            stream.codec_context.layout = layout
            for start in range(0, pcm.shape[1], _ENCODER_BLOCK * channels):
                block = np.ascontiguousarray(pcm[:, start : start + _ENCODER_BLOCK * channels])
                frame = AudioFrame.from_ndarray(block, format="s16", layout=layout)
                frame.sample_rate = sample_rate
                # With its place known, an encoder's padding is marked, and dropped on reading.
                frame.pts, frame.time_base = start // channels, Fraction(1, sample_rate)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except (av.FFmpegError, ValueError) as error:
        raise InvalidAudioError(f"cannot write {path.name}: {error}") from error
