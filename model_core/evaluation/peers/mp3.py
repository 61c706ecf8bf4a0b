"""MP3 (ISO 11172-3, 13818-3): `lame`, else libmp3lame through FFmpeg, at an average rate.

At low rates LAME itself lowers the sample rate. There is no tag and no information frame: the whole
file is audio. FFmpeg decodes it.
"""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from .peer import PeerCoded
from .rate import nearest
from .tools import ffmpeg_encode, has_encoder, installed, read_audio, run, write_wav

LEAST = 8.0  # kbps


class MP3:
    """See `peer.Peer`."""

    name = "mp3"

    def lowest_kbps(self, channels: int) -> float:
        """The lowest rate in the tables of MPEG-2 and 2.5."""
        return LEAST

    def missing(self) -> str | None:
        if installed("lame") or has_encoder("libmp3lame"):
            return None
        return "lame is not installed"

    def code(self, samples: np.ndarray, sample_rate: int, kbps: float) -> PeerCoded:
        """Raises `PeerError`."""
        encode = partial(_by_lame if installed("lame") else _by_ffmpeg, samples, sample_rate)
        data = nearest(encode, kbps, samples.shape[1] / sample_rate)
        return PeerCoded(read_audio(data, sample_rate, samples.shape[0]), len(data), len(data))


def _by_lame(samples: np.ndarray, sample_rate: int, kbps: float) -> bytes:
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_wav(folder / "in.wav", samples, sample_rate)
        rate = ["--abr", f"{max(kbps, LEAST):.0f}"]
        run(["lame", "--silent", "-t", *rate, "in.wav", "coded.mp3"], folder)
        return (folder / "coded.mp3").read_bytes()


def _by_ffmpeg(samples: np.ndarray, sample_rate: int, kbps: float) -> bytes:
    plain = {"write_xing": "0", "id3v2_version": "0"}
    rate = max(kbps, LEAST)
    return ffmpeg_encode(samples, sample_rate, "libmp3lame", "mp3", rate, {"abr": "1"}, plain)
