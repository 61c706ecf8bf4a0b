"""Audio files in memory for the tests, made by FFmpeg's own encoders and muxers (PyAV)."""

import io
import struct
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def tone(seconds: float, rate: int, channels: int = 1) -> Floats:
    """A different chord in each channel, `[C, n]`, well below clipping."""
    t = np.arange(round(seconds * rate)) / rate
    rows = [
        0.2 * np.sin(2 * np.pi * 220 * (k + 1) * t) + 0.1 * np.sin(2 * np.pi * (331 + 60 * k) * t)
        for k in range(channels)
    ]
    return np.stack(rows).astype(np.float32)


def encode(
    samples: Floats,
    rate: int,
    container: str,
    codec: str,
    layout: str | None = None,
    options: dict[str, str] | None = None,
) -> bytes:
    """`samples` `[C, n]` as a file of that container and codec."""
    layout = layout or ("mono" if samples.shape[0] == 1 else "stereo")
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options or {}) as out:
        stream = out.add_stream(codec, rate=rate)
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.layout = layout
        stream.time_base = Fraction(1, rate)
        convert = av.AudioResampler(stream.codec_context.format.name, layout, rate)
        fifo_size = 1024
        for start in range(0, samples.shape[1], fifo_size):
            block = np.ascontiguousarray(samples[:, start : start + fifo_size].T).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(block, format="flt", layout=layout)
            frame.sample_rate, frame.pts = rate, start
            for converted in convert.resample(frame):
                out.mux(stream.encode(converted))
        for converted in convert.resample(None):
            out.mux(stream.encode(converted))
        out.mux(stream.encode(None))
    return file.getvalue()


def tagged(
    container: str, codec: str, samples: Floats, rate: int, metadata: dict[str, str]
) -> bytes:
    """As `encode`, with FFmpeg's metadata of the container."""
    file = io.BytesIO()
    with (
        av.open(io.BytesIO(encode(samples, rate, container, codec)), "r") as source,
        av.open(file, "w", format=container) as out,
    ):
        out.metadata.update(metadata)
        stream = out.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    return file.getvalue()


def float_wav(samples: Floats, rate: int) -> bytes:
    """A 32-bit float WAV written by hand: any values, NaN too."""
    channels = samples.shape[0]
    data = samples.T.astype("<f4").tobytes()
    fmt = struct.pack("<HHIIHH", 3, channels, rate, rate * channels * 4, channels * 4, 32)
    body = b"WAVEfmt " + struct.pack("<I", 16) + fmt + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


class Pipe:
    """A file that can only be read, a little at a time."""

    def __init__(self, data: bytes, most: int = 1000) -> None:
        self._file = io.BytesIO(data)
        self._most = most

    def read(self, size: int, /) -> bytes:
        return self._file.read(min(size, self._most))
