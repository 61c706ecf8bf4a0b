"""Shared by the peers: programs in a temporary folder, WAV files, FFmpeg's encoders."""

import io
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torchaudio.functional import resample

from ...audio import open_audio, pcm16, wav_header
from ...errors import InvalidAudioError
from ..errors import PeerError

TIMEOUT = 120  # s, for one run of a program


def installed(*programs: str) -> bool:
    """Whether all programs are in the PATH."""
    return all(shutil.which(program) for program in programs)


def run(arguments: Sequence[str], folder: Path) -> None:
    """Run a program in `folder`. Raises `PeerError` with the last line of its output."""
    try:
        done = subprocess.run(
            arguments, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerError(f"{arguments[0]}: {error}") from error
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines() or [""]
        raise PeerError(f"{arguments[0]} ended with {done.returncode}: {words[-1]}")


def write_wav(path: Path, samples: np.ndarray, sample_rate: int) -> None:
    """`[C, n]` as 16-bit WAV."""
    path.write_bytes(wav_header(sample_rate, *samples.shape) + pcm16(samples))


def read_audio(source: Path | bytes, sample_rate: int, channels: int) -> np.ndarray:
    """Any audio as `[channels, n]`, resampled to `sample_rate` if needed. Raises `PeerError`."""
    opened = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with open_audio(opened, sample_rate, channels) as blocks:
            return np.concatenate(list(blocks), axis=1)
    except InvalidAudioError as error:
        raise PeerError(f"its output cannot be read: {error}") from error


def has_encoder(name: str) -> bool:
    """Whether PyAV's FFmpeg has this encoder."""
    import av

    try:
        av.codec.Codec(name, "w")
    except ValueError:
        return False
    return True


def ffmpeg_encode(
    samples: np.ndarray,
    sample_rate: int,
    encoder: str,
    container: str,
    kbps: float,
    options: Mapping[str, str],
    muxer_options: Mapping[str, str],
) -> bytes:
    """`[C, n]` as a file by an FFmpeg encoder that takes `sample_rate`. Raises `PeerError`."""
    import av
    from av.audio.stream import AudioStream

    layout = "mono" if samples.shape[0] == 1 else "stereo"
    file = io.BytesIO()
    try:
        with av.open(file, "w", format=container, container_options=dict(muxer_options)) as out:
            stream = out.add_stream(encoder, rate=sample_rate, options=dict(options))
            if not isinstance(stream, AudioStream):
                raise PeerError(f"{encoder} is not an audio encoder")
            stream.bit_rate = round(1000 * kbps)
            stream.codec_context.layout = layout
            stream.time_base = Fraction(1, sample_rate)
            stream.codec_context.open()
            block = stream.codec_context.frame_size or 1024
            convert = av.AudioResampler(
                stream.codec_context.format.name, layout, sample_rate, frame_size=block
            )
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples, np.float32), "fltp", layout
            )
            frame.sample_rate = sample_rate
            frame.time_base = Fraction(1, sample_rate)
            frame.pts = 0
            for part in [*convert.resample(frame), *convert.resample(None)]:
                out.mux(stream.encode(part))
            out.mux(stream.encode(None))
    except (av.FFmpegError, ValueError) as error:
        raise PeerError(f"{encoder}: {error}") from error
    return file.getvalue()


def at_rate(samples: np.ndarray, source_rate: int, target_rate: int) -> np.ndarray:
    """`[C, n]` resampled as a whole by torchaudio."""
    if source_rate == target_rate:
        return samples
    resampled: np.ndarray = resample(torch.from_numpy(samples), source_rate, target_rate).numpy()
    return resampled
