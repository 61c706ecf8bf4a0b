"""One file after another through the codec, in bounded memory."""

import shutil
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..audio import LIMIT, WavWriter, open_audio, rescale_factor
from ..codec import Codec, Compressor, Decompressor, iterate_now, run_now
from ..ecdc import Header, read_header
from .arguments import Arguments
from .codecs import NamedCodecs
from .ending import raise_if_ended
from .outputs import open_output
from .plan import WAV, Job, Targets
from .progress import progress
from .sources import is_compressed, open_source


class Runner:
    """Does the jobs of one command line."""

    def __init__(self, arguments: Arguments, targets: Targets):
        """Raises as `NamedCodecs`."""
        self._arguments = arguments
        self._targets = targets
        self._models = NamedCodecs(arguments.weights, arguments.device)

    def run(self, job: Job) -> None:
        """Does one job; says what it made of a file that was found in a folder.

        Raises `EncodecError` and `OSError`; the output is then as it was before.
        """
        with open_source(job.source) as file:
            compressed = is_compressed(job.source, file)
            target = self._targets.of(job, compressed)
            if target is not None and self._arguments.output_dir is not None:
                target.parent.mkdir(parents=True, exist_ok=True)
            if compressed:
                kbps = self._decompress(job, file, target)
            else:
                kbps = self._compress(job, file, target)
        if job.folder is not None and target is not None:
            size = target.stat().st_size
            _say(f"{job.source} -> {target}: {size:,} bytes, {kbps:.2f} kbps")

    def _compress(self, job: Job, file: BinaryIO, target: Path | None) -> float:
        """Returns the bit rate in kbps, with the header."""
        arguments = self._arguments
        codec = self._models.for_compression(arguments.model, arguments.lm)
        compressor = Compressor(codec, arguments.bandwidth, arguments.lm)
        recording = target if target is not None and target.suffix.lower() == WAV else None
        replaces = recording is not None and recording.is_file()
        with open_output(target) as out, tempfile.TemporaryFile() as payload:
            self._encode(compressor, codec, job, file, payload)
            kbps = _kbps(codec, compressor.header, payload.tell())
            payload.seek(0)
            if recording is not None:
                self._decode(codec, compressor.header, payload, job, out, recording)
            else:
                out.write(compressor.header.to_bytes())
                shutil.copyfileobj(payload, out)
        if replaces:
            _say(f"{job.source}: {recording} existed and now holds the decoded audio")
        return kbps

    def _encode(
        self, compressor: Compressor, codec: Codec, job: Job, file: BinaryIO, payload: BinaryIO
    ) -> None:
        config = codec.config
        size = file.seek(0, 2)
        file.seek(0)
        with (
            open_audio(file, config.sample_rate, config.channels) as audio,
            progress("compressing", job.source, size, "B") as bar,
        ):
            for samples in audio:
                raise_if_ended()
                payload.write(run_now(compressor.push(samples)))
                bar.update(file.tell() - bar.n)
            payload.write(run_now(compressor.finish()))

    def _decompress(self, job: Job, file: BinaryIO, target: Path | None) -> float:
        """Returns the bit rate in kbps, with the header."""
        header = read_header(file)
        start = file.tell()
        codec = self._models.for_header(header)
        with open_output(target) as out:
            self._decode(codec, header, file, job, out, target)
        return _kbps(codec, header, file.tell() - start)

    def _decode(
        self,
        codec: Codec,
        header: Header,
        payload: BinaryIO,
        job: Job,
        out: BinaryIO,
        target: Path | None,
    ) -> None:
        config = codec.config
        with (
            WavWriter(out, config.sample_rate, config.channels, header.audio_length) as writer,
            closing(_decoded(codec, header, payload, job)) as blocks,
        ):
            if self._arguments.rescale:
                _write_rescaled(writer, blocks, config.channels, target)
                return
            peak = 0.0
            for samples in blocks:
                peak = max(peak, float(np.abs(samples).max(initial=0)))
                writer.write(samples)
        if peak > LIMIT:
            _say(
                f"{job.source}: clipped: the peak is {peak:.4g}, the limit {LIMIT}; "
                "-r rescales instead"
            )


def _kbps(codec: Codec, header: Header, payload_bytes: int) -> float:
    """The bit rate of an `.ecdc` file."""
    size = len(header.to_bytes()) + payload_bytes
    return 8 * size * codec.config.sample_rate / header.audio_length / 1000


def _decoded(codec: Codec, header: Header, payload: BinaryIO, job: Job) -> Generator[np.ndarray]:
    """Blocks `[C, n]`. Raises `BitstreamError`."""
    blocks = iterate_now(Decompressor(codec, header, payload).blocks())
    rate = codec.config.sample_rate
    with progress("decompressing", job.source, header.audio_length / rate, "s") as bar:
        for samples in blocks:
            raise_if_ended()
            yield samples
            bar.update(samples.shape[1] / rate)


def _write_rescaled(
    writer: WavWriter, blocks: Iterator[np.ndarray], channels: int, target: Path | None
) -> None:
    """The peak is known only at the end: until then the samples wait in a file without a name."""
    folder = None if target is None else target.resolve().parent
    with tempfile.TemporaryFile(dir=folder) as waiting:
        peak = 0.0
        for samples in blocks:
            peak = max(peak, float(np.abs(samples).max(initial=0)))
            waiting.write(samples.T.astype(np.float32).tobytes())
        waiting.seek(0)
        factor = rescale_factor(peak)
        while data := waiting.read(channels * 4 << 16):
            writer.write(np.frombuffer(data, np.float32).reshape(-1, channels).T, factor)


def _say(text: str) -> None:
    """One line on stderr, not an error."""
    if sys.stderr is not None:
        sys.stderr.write(f"encodec: {text}\n")
