"""One file after another through the codec, in bounded memory."""

import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from ..audio import (
    FORMATS,
    LIMIT,
    AudioSource,
    Converter,
    SourceInfo,
    WaitingSamples,
    choose_channels,
    choose_rate,
    encoder,
    open_audio,
)
from ..checkpoints import Registry, WeightSet
from ..codec import (
    ChunkCompressor,
    Codec,
    Compressor,
    Recording,
    Salvaged,
    SalvagedChunks,
    Stored,
    Stored0,
    iterate_now,
    open_stored,
    run_now,
    salvage_payload,
)
from ..codec.stored import samples_between
from ..cores import usable_cores
from ..ecdc.header import version_of
from ..ecdc.v1 import file_name
from ..engine import EngineOptions
from ..engine.choose import find_device
from ..errors import BitstreamError
from ..process import raise_if_ended, say, signals_held
from .arguments import Arguments
from .files import is_compressed, open_output, open_source
from .plan import STDIO, CommandError, Conversion, Targets
from .progress import Progress
from .speaker import Speaker
from .suffixes import DECODED, WAV

_MOST_LOST = 36_000
"""Seconds of silence that a damaged file may turn into: a forged one can claim any length."""


class Runner:
    """Does the conversions of one command line. Each codec is loaded once, when it is needed."""

    def __init__(self, arguments: Arguments, targets: Targets, progress: Progress):
        """Raises `WeightsUnavailableError` for an unknown source of weights, `CommandError` for a
        device."""
        self._arguments = arguments
        self._targets = targets
        self._progress = progress
        self._registry = Registry(arguments.weights)
        self._device = _device(arguments.device)
        self._codecs: dict[tuple[str, str | None], Codec] = {}

    def run(self, conversion: Conversion) -> None:
        """Does one conversion; says what it made of a file that was found in a folder.

        Raises `EncodecError` and `OSError`; the output is then as it was before.
        """
        source = conversion.source
        with open_source(source) as file:
            compressed = is_compressed(source, file)
            target = self._targets.of(conversion, compressed)
            if not compressed and self._wants_decompressed:
                raise CommandError("--salvage, --start and --end are for .ecdc files")
            is_audio = compressed or (target is not None and target.suffix.lower() == WAV)
            if not is_audio and self._wants_other_audio:
                raise CommandError("--sample-rate and --channels are for decoded audio")
            if target is not None and self._arguments.output_dir is not None:
                target.parent.mkdir(parents=True, exist_ok=True)
            convert = self._decompress if compressed else self._compress
            kbps = convert(source, file, target)
        if conversion.folder is not None and target is not None:
            say(f"{source} -> {target}: {target.stat().st_size:,} bytes, {kbps:.2f} kbps")

    def _compress(self, source: str, file: BinaryIO, target: Path | None) -> float:
        """To `.ecdc`, or to a WAV of what that would hold. Returns the bit rate in kbps."""
        arguments = self._arguments
        codec = self._codec(self._chosen_weights, arguments.lm)
        recording = target if target is not None and target.suffix.lower() == WAV else None
        replaces = recording is not None and recording.is_file()
        size = file.seek(0, 2)
        file.seek(0)
        with open_output(target) as out, tempfile.TemporaryFile() as payload:
            with (
                _open_audio(file, codec) as audio,
                self._progress.showing("compressing", source, size) as advance,
            ):
                compressor = self._compressor(codec, source, audio.info)
                samples = 0
                for block in _blocks(audio):
                    payload.write(run_now(compressor.push(block)))
                    samples += block.shape[1]
                    advance(file.tell(), samples / codec.config.sample_rate)
                payload.write(run_now(compressor.finish(audio.decoded_samples)))
            stored = compressor.stored(payload)
            if recording is not None:
                whole = 0, stored.samples
                self._write_audio(codec, stored, whole, source, recording, out)
            else:
                out.write(stored.prefix)
                payload.seek(0)
                shutil.copyfileobj(payload, out)
        if warnings := "; ".join(warning.text for warning in compressor.warnings):
            say(f"{source}: {warnings}; --effort 1 avoids it")
        if replaces:
            say(f"{source}: {recording} existed and now holds the decoded audio")
        return _kbps(codec, stored)

    def _compressor(
        self, codec: Codec, source: str, info: SourceInfo
    ) -> Compressor | ChunkCompressor:
        name = None if source == STDIO else file_name(Path(source).name)
        recording = Recording(info.sample_rate, info.channels, name, info.tags)
        return self._arguments.coding.compressor(codec, recording=recording)

    def _decompress(self, source: str, file: BinaryIO, target: Path | None) -> float:
        """To audio. Returns the bit rate in kbps."""
        codec, stored = self._opened(file)
        part = self._part(codec, stored)
        with open_output(target) as out:
            self._write_audio(codec, stored, part, source, target, out)
        _say_loss(source, codec, stored)
        return _kbps(codec, stored)

    def play(self, source: str) -> None:
        """Through the sound device. Raises `EncodecError` and `OSError`."""
        with open_source(source) as file:
            if not is_compressed(source, file):
                raise CommandError("only .ecdc files are played")
            codec, stored = self._opened(file)
            part = self._part(codec, stored)
            rate, channels = self._rate_and_channels(codec, stored)
            config = codec.config
            convert = Converter(config.sample_rate, config.channels, rate, channels)
            decoded = self._decode("playing", codec, stored, part, source, convert)
            with Speaker(rate, channels) as speaker, closing(decoded) as blocks:
                for block in blocks:
                    speaker.play(block)
                speaker.finish()
        _say_loss(source, codec, stored)

    @property
    def _wants_decompressed(self) -> bool:
        given = self._arguments
        return given.salvage or given.start > 0 or given.end is not None

    @property
    def _wants_other_audio(self) -> bool:
        return self._arguments.sample_rate is not None or self._arguments.channels is not None

    def _opened(self, file: BinaryIO) -> tuple[Codec, Stored | Salvaged]:
        return self._salvaged(file) if self._arguments.salvage else self._stored(file)

    def _stored(self, file: BinaryIO) -> tuple[Codec, Stored]:
        stored = open_stored(file)
        return self._codec(self._registry.find_exact(stored.model), stored.lm), stored

    def _salvaged(self, file: BinaryIO) -> tuple[Codec, Salvaged]:
        """Raises `BitstreamError` where nothing is left, or most of it would be silence."""
        version = version_of(file.read(5))
        salvaged: Salvaged
        if version == 1:
            salvaged = SalvagedChunks(file)
            codec = self._codec(self._registry.find_exact(salvaged.model), salvaged.lm)
        else:
            codec, stored = self._stored(file)
            assert isinstance(stored, Stored0)
            salvaged = run_now(salvage_payload(codec, stored))
        if salvaged.lost > _MOST_LOST * codec.config.sample_rate:
            hours = salvaged.lost / codec.config.sample_rate / 3600
            raise BitstreamError(f"{hours:,.1f} hours of audio are missing: too much for silence")
        return codec, salvaged

    def _part(self, codec: Codec, stored: Stored | Salvaged) -> tuple[int, int]:
        """First sample, and the one after the last. Raises `CommandError` where there is none."""
        rate, samples = codec.config.sample_rate, stored.samples
        given = self._arguments
        start, end = samples_between(samples, rate, given.start, given.end)
        if start >= end:
            raise CommandError(f"nothing is left; the audio is {samples / rate:.3f} s long")
        return start, end

    def _write_audio(
        self,
        codec: Codec,
        stored: Stored | Salvaged,
        part: tuple[int, int],
        source: str,
        target: Path | None,
        out: BinaryIO,
    ) -> None:
        config = codec.config
        format = FORMATS["wav" if target is None else DECODED[target.suffix.lower()]]
        rate, channels = self._rate_and_channels(codec, stored)
        rate = format.rate(rate)
        samples = stored.samples_at(rate, config.sample_rate, *part)
        convert = Converter(config.sample_rate, config.channels, rate, channels, samples=samples)
        file = encoder(format, rate, channels, samples, stored.tags)

        def write(samples: np.ndarray, factor: float = 1.0) -> None:
            with signals_held():
                data = file.push(samples, factor)
            out.write(data)

        peak = 0.0
        decoded = self._decode("decompressing", codec, stored, part, source, convert)
        with closing(decoded) as blocks:
            if self._arguments.rescale:
                _write_rescaled(write, blocks, channels, target)
            else:
                for block in blocks:
                    peak = max(peak, _peak(block))
                    write(block)
        with signals_held():
            data = file.finish()
        out.write(data)
        if peak > LIMIT and format.sample != "f32":
            say(
                f"{source}: clipped: the peak is {peak:.4g}, the limit {LIMIT}; -r rescales instead"
            )

    def _rate_and_channels(self, codec: Codec, stored: Stored | Salvaged) -> tuple[int, int]:
        """Of what is decoded, in Hz. Raises `CommandError`."""
        given, config = self._arguments, codec.config
        try:
            rate = choose_rate(given.sample_rate, stored.original_rate, config.sample_rate)
            channels = choose_channels(given.channels, stored.original_channels, config.channels)
        except ValueError as error:
            raise CommandError(f"--sample-rate or --channels: {error}") from None
        return rate, channels

    def _decode(
        self,
        doing: str,
        codec: Codec,
        stored: Stored | Salvaged,
        part: tuple[int, int],
        source: str,
        convert: Converter,
    ) -> Generator[np.ndarray]:
        """Blocks `[C, n]`, converted. Raises `BitstreamError`."""
        rate, (start, end) = codec.config.sample_rate, part
        done = 0
        with self._progress.showing(doing, source, end - start) as advance:
            for samples in iterate_now(stored.audio(codec, start=start, end=end)):
                raise_if_ended()
                yield convert.push(samples)
                done += samples.shape[1]
                advance(done, done / rate)
            yield convert.finish()

    @cached_property
    def _chosen_weights(self) -> WeightSet:
        """What to compress with. Raises `WeightsError` and `WeightsUnavailableError`."""
        return self._registry.find(self._arguments.model)

    def _codec(self, weights: WeightSet, lm: bool) -> Codec:
        """Raises `WeightsError` and `WeightsUnavailableError`, also for want of an LM."""
        key = (weights.header_name, weights.lm_header_name if lm else None)
        if key not in self._codecs:
            language_model = self._registry.fetch_lm(weights) if lm else None
            options = EngineOptions(threads=_threads())
            self._codecs[key] = Codec.from_weights(weights, language_model, self._device, options)
        return self._codecs[key]


def _device(name: str) -> str:
    try:
        return find_device(name)
    except (ValueError, LookupError) as error:
        raise CommandError(str(error)) from None


def _threads() -> int:
    """`OMP_NUM_THREADS` as torch takes it, else one for each core."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdecimal() and int(wanted) else usable_cores()


def _say_loss(source: str, codec: Codec, stored: Stored | Salvaged) -> None:
    if isinstance(stored, Salvaged) and (loss := _loss(codec, stored)):
        say(f"{source}: {loss}")


def _loss(codec: Codec, salvaged: Salvaged) -> str:
    """What of a file is not there, in words; empty for nothing."""
    seconds = salvaged.lost / codec.config.sample_rate
    gaps = f"{salvaged.gaps} gap{'s' if salvaged.gaps != 1 else ''}"
    lost = f"{seconds:.2f} s of audio are lost, in {gaps}, and silent" if salvaged.gaps else ""
    end = "" if salvaged.known_end else "the end is missing: how much that is, nobody knows"
    return "; ".join(text for text in (lost, end) if text)


def _kbps(codec: Codec, stored: Stored | Salvaged) -> float:
    """The bit rate of an `.ecdc` file, all of it."""
    return 8 * stored.size * codec.config.sample_rate / stored.samples / 1000


def _peak(samples: np.ndarray) -> float:
    return float(np.abs(samples).max(initial=0))


def _open_audio(file: BinaryIO, codec: Codec) -> AudioSource:
    """Any audio. Raises `InvalidAudioError`."""
    with signals_held():
        return open_audio(file, codec.config.sample_rate, codec.config.channels)


def _blocks(audio: AudioSource) -> Iterator[np.ndarray]:
    """Blocks `[C, n]`. Raises `InvalidAudioError`."""
    while True:
        with signals_held():
            samples = next(audio, None)
        if samples is None:
            return
        yield samples


def _write_rescaled(
    write: Callable[[np.ndarray, float], None],
    blocks: Iterator[np.ndarray],
    channels: int,
    target: Path | None,
) -> None:
    """The samples wait in a file without a name until their peak is known."""
    folder = None if target is None else target.resolve().parent
    with tempfile.TemporaryFile(dir=folder) as file:
        waiting = WaitingSamples(cast(BinaryIO, file), channels)
        for samples in blocks:
            waiting.add(samples)
        for samples in waiting.blocks():
            write(samples, waiting.factor)
