"""Opus (RFC 6716) in Ogg (RFC 7845): `opusenc`, else libopus through FFmpeg.

Variable rate, no padding for tags; the encoder's setting is chosen so that the whole file has the
requested rate. Frames of 20 ms are the encoder's default; frames of 40 ms need fewer bytes for
headers and container, which leaves more for the sound at 6 kbps.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from .ogg import packet_sizes
from .peer import PeerCoded
from .rate import nearest
from .tools import (
    at_rate,
    ffmpeg_encode,
    has_encoder,
    installed,
    read_audio,
    run,
    write_wav,
)

DEFAULT_FRAME = 20  # ms
DECODED_RATE = 48_000  # Hz
_HEADERS = 2  # packets before the audio: identification and comments


@dataclass(frozen=True)
class Opus:
    """See `peer.Peer`. `frame` in ms."""

    frame: int = DEFAULT_FRAME

    @property
    def name(self) -> str:
        return "opus" if self.frame == DEFAULT_FRAME else f"opus {self.frame}ms"

    def lowest_kbps(self, channels: int) -> float:
        """The lowest rate in RFC 6716 (section 2.1.1), for any number of channels."""
        return 6.0

    def missing(self) -> str | None:
        if installed("opusenc", "opusdec") or has_encoder("libopus"):
            return None
        return "opusenc and opusdec (package opus-tools) are not installed"

    def code(self, samples: np.ndarray, sample_rate: int, kbps: float) -> PeerCoded:
        """Raises `PeerError`."""
        coder = _by_tools if installed("opusenc", "opusdec") else _by_ffmpeg
        data, decoded = coder(samples, sample_rate, kbps, self.frame)
        back = at_rate(decoded, DECODED_RATE, sample_rate)
        return PeerCoded(back, len(data), sum(packet_sizes(data)[_HEADERS:]))


def _by_tools(
    samples: np.ndarray, sample_rate: int, kbps: float, frame: int
) -> tuple[bytes, np.ndarray]:
    """The file, and its decoded samples at 48 kHz."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        coded, out = folder / "coded.opus", folder / "out.wav"
        write_wav(folder / "in.wav", samples, sample_rate)

        def encode(bitrate: float) -> bytes:
            options = ["--vbr", "--bitrate", f"{bitrate:.3f}", "--framesize", str(frame)]
            files = ["in.wav", coded.name]
            run(["opusenc", "--quiet", *options, "--padding", "0", *files], folder)
            return coded.read_bytes()

        data = nearest(encode, kbps, samples.shape[1] / sample_rate)
        coded.write_bytes(data)
        options = ["--quiet", "--rate", str(DECODED_RATE), "--float", "--no-dither"]
        run(["opusdec", *options, coded.name, out.name], folder)
        return data, read_audio(out, DECODED_RATE, samples.shape[0])


def _by_ffmpeg(
    samples: np.ndarray, sample_rate: int, kbps: float, frame: int
) -> tuple[bytes, np.ndarray]:
    """The same; its Ogg pages are one second long, like opusenc's."""
    options = {"frame_duration": str(frame), "vbr": "on"}
    paging = {"page_duration": "1000000"}  # µs

    def encode(bitrate: float) -> bytes:
        return ffmpeg_encode(samples, sample_rate, "libopus", "ogg", bitrate, options, paging)

    data = nearest(encode, kbps, samples.shape[1] / sample_rate)
    return data, read_audio(data, DECODED_RATE, samples.shape[0])
