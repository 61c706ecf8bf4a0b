"""Decodes one file to interleaved int16 samples on disk: the work of one process of `cache`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InvalidAudioError

SHORTEST = 0.2  # s
_AUDIBLE = 16  # of 32768: a recording with no larger sample is silence (-66 dBFS)


@dataclass(frozen=True)
class Decoded:
    """Samples per channel that were written, or why the file is left out."""

    length: int
    reason: str | None = None


def decode_file(path: Path, out: Path, sample_rate: int, channels: int) -> Decoded:
    """Decode `path` to `out`, int16 `[N, C]`, in blocks of a second.

    A file that is no audio, is cut short, lasts less than 0.2 s or is silent comes back with the
    reason and leaves no `out` behind.
    """
    from ..audio import open_audio  # PyAV is not there on a machine that only trains

    length = peak = 0
    try:
        with out.open("wb") as file, open_audio(path, sample_rate, channels) as source:
            for block in source:
                samples = np.clip(np.rint(block * 32768), -32768, 32767).astype("<i2")
                peak = max(peak, int(samples.max()), -int(samples.min()))
                length += samples.shape[1]
                file.write(samples.T.tobytes())
    except InvalidAudioError as error:
        out.unlink()
        return Decoded(0, str(error))
    reason = None
    if length < SHORTEST * sample_rate:
        reason = f"shorter than {SHORTEST:g} s"
    elif peak <= _AUDIBLE:
        reason = "silence"
    if reason:
        out.unlink()
    return Decoded(length, reason)
