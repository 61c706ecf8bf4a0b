"""What `effort` gives on recordings, and what it costs.

python -m benchmarks.effort FOLDER [--model NAME] [--bandwidths KBPS ...] [--rates R ...]

Each clip is coded at each bandwidth with each effort; all take turns. Means over the clips of a
kind: the error of the latent (dB below the latent), SI-SNR, log-mel distance and, for speech, STOI
and PESQ; and the kbps that the language model codes the codes with. `2 lm` and `3 lm` are the codes
that are chosen with it; `2 r=0.1` those of effort 2 with another weight of the bits (`--rates`, in
place of `code_search.RATES`). Times are of encoding on one thread, without entropy coding, medians
over the clips, relative to effort 0.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from statistics import fmean, median

import numpy as np
import torch

from model_core.codec import Codec, Encoder, run_now
from model_core.codec.chunked import SEARCHED
from model_core.codec.corrections import OffsetFilter
from model_core.config import CONFIGS
from model_core.ecdc import segments
from model_core.engine import BEAMS, DecodeItem, EncodedBlock, OverlapAdd, StreamState
from model_core.evaluation.clips import SPEECH, Clip, clips_of_folder, usable
from model_core.evaluation.scores import Scores, scores
from model_core.model import EncodecModel, load_model

from .results import Row
from .table import Column, Table
from .timing import paired_ratio, take_turns

TABLE = Table(
    [
        Column("kind", 11),
        Column("clips", 5, 0),
        Column("kbps", 4, 1),
        Column("effort", 8),
        Column("with LM", 7, 2),
        Column("latent dB", 9, 2),
        Column("SI-SNR dB", 9, 2),
        Column("mel dB", 6, 2),
        Column("STOI", 5, 3),
        Column("PESQ", 5, 3),
        Column("times as long", 13, 2),
    ]
)
_SCORES = ("coded_kbps", "latent_db", "si_snr_db", "mel_db", "stoi", "pesq")
_CHUNK_SECONDS = 4


@dataclass(frozen=True)
class Choice:
    """A way to choose codes: an effort, with the language model if it `searches`, at a `rate`."""

    effort: int
    searches: bool = False
    rate: float | None = None

    def __str__(self) -> str:
        if self.rate is not None:
            return f"{self.effort} r={self.rate:g}"
        return f"{self.effort} lm" if self.searches else str(self.effort)


PLAIN = Choice(0)
CHOICES = (
    *map(Choice, range(len(BEAMS))),
    *(Choice(effort, True) for effort in range(SEARCHED, len(BEAMS))),
)


@dataclass(frozen=True)
class Measured:
    """One clip at one bandwidth (kbps) with one choice."""

    kind: str
    bandwidth: float
    effort: str
    coded_kbps: float
    latent_db: float
    scores: Scores
    times_as_long: float


class Measurer:
    """The codec and its network."""

    def __init__(self, model: str, weights: str, runs: int, rates: Sequence[float] = ()):
        self._codec = Codec.load(model, weights)
        self._network: EncodecModel = load_model(model, weights)
        self._runs = runs
        choices = (*CHOICES, *(Choice(SEARCHED, True, rate) for rate in rates))
        self._choices = {str(choice): choice for choice in choices}
        self.config = self._codec.config

    def measure(self, clip: Clip, bandwidths: Sequence[float]) -> Iterator[Measured]:
        """Every bandwidth and choice."""
        samples = clip.read(self.config)
        for bandwidth in bandwidths:
            books = self.config.codebooks_for(bandwidth)
            jobs = {
                name: partial(self._encoded, samples, books, choice)
                for name, choice in self._choices.items()
            }
            coded = {name: job() for name, job in jobs.items()}
            times = take_turns(jobs, self._runs, budget=60)
            for name, blocks in coded.items():
                estimate = self._decoded(blocks)[:, : samples.shape[1]]
                rate = self.config.sample_rate
                yield Measured(
                    clip.category,
                    bandwidth,
                    name,
                    self._coded_kbps(blocks),
                    self._latent_db(samples, blocks, self._choices[name] != PLAIN),
                    scores(samples, estimate, rate, speech=clip.category == SPEECH),
                    paired_ratio(times[name], times[str(PLAIN)]),
                )

    def _encoded(self, samples: np.ndarray, books: int, choice: Choice) -> list[EncodedBlock]:
        encoder = Encoder(self._codec, books, effort=choice.effort, latents=choice.searches)
        blocks = [*run_now(encoder.push(samples)), *run_now(encoder.finish())]
        if not choice.searches:
            return blocks
        chunks = self._chunks([block.content for block in blocks])
        search = self._codec.code_search()
        codes = search.find(chunks, books, BEAMS[choice.effort], choice.rate)
        if self.config.causal:
            return [EncodedBlock(np.concatenate(codes, axis=1))]
        return [EncodedBlock(some, block.scale) for some, block in zip(codes, blocks, strict=True)]

    def _chunks(self, contents: list[np.ndarray]) -> list[np.ndarray]:
        """Codes or latents of blocks, as the chunks of a file have them."""
        if not self.config.causal:
            return contents
        whole = np.concatenate(contents, axis=1)
        frames = round(_CHUNK_SECONDS * self.config.frame_rate)
        return np.split(whole, range(frames, whole.shape[1], frames), axis=1)

    def _coded_kbps(self, blocks: list[EncodedBlock]) -> float:
        coded = self._codec.require_lm().encode_chunks(
            self._chunks([block.codes for block in blocks])
        )
        frames = sum(block.frames for block in blocks)
        return 8 * sum(map(len, coded)) * self.config.frame_rate / frames / 1000

    def _decoded(self, blocks: list[EncodedBlock]) -> np.ndarray:
        state, join = StreamState(), OverlapAdd(self.config.segment_stride or 1)
        items = [
            DecodeItem(block, block is blocks[-1], state if self.config.causal else StreamState())
            for block in blocks
        ]
        audio = self._codec.engine.decode(items)
        if not self.config.causal:
            audio = [join.push(part, part is audio[-1]) for part in audio]
        return np.concatenate(audio, axis=1)

    @torch.inference_mode()
    def _latent_db(self, samples: np.ndarray, blocks: list[EncodedBlock], filtered: bool) -> float:
        """The power of the error by that of the latent of what was coded."""
        if filtered:
            offset = OffsetFilter(self.config.channels, self.config.sample_rate)
            samples = np.concatenate([offset.push(samples), offset.finish()], axis=1)
        if self.config.causal:
            blocks = [EncodedBlock(np.concatenate([block.codes for block in blocks], axis=1))]
        power = error = 0.0
        places = segments(self.config, samples.shape[1])
        for place, block in zip(places, blocks, strict=True):
            part = samples[:, place.offset : place.offset + place.samples] / (block.scale or 1)
            latent = self._network.encoder(torch.from_numpy(part.astype(np.float32))[None])
            found = self._network.quantizer.decode(torch.from_numpy(block.codes)[:, None])
            power += float(latent.square().sum())
            error += float((latent - found).square().sum())
        return float(10 * np.log10(error / power))


def summary(measured: Sequence[Measured]) -> Iterator[Row]:
    """A row for each kind, bandwidth and effort."""

    def place(one: Measured) -> tuple[str, float, str]:
        return one.kind, one.bandwidth, one.effort

    for (kind, bandwidth, effort), group in groupby(sorted(measured, key=place), place):
        some = list(group)
        found = {
            "coded_kbps": [one.coded_kbps for one in some],
            "latent_db": [one.latent_db for one in some],
            **{
                name: [v for one in some if (v := getattr(one.scores, name)) is not None]
                for name in _SCORES[2:]
            },
        }
        yield {
            "kind": kind,
            "clips": len(some),
            "bandwidth": bandwidth,
            "effort": effort,
            **{name: fmean(values) if values else None for name, values in found.items()},
            "times_as_long": median(one.times_as_long for one in some),
        }


def cells(row: Row) -> list[str | float | None]:
    """A row as `TABLE` prints it."""
    return [row[k] for k in ("kind", "clips", "bandwidth", "effort", *_SCORES, "times_as_long")]


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(
        "python -m benchmarks.effort",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("folder", type=Path, help="recordings, as `encodec-eval` takes them")
    options.add_argument("--model", choices=list(CONFIGS), default="encodec_24khz")
    options.add_argument("--weights", default="bundled")
    options.add_argument("--bandwidths", type=float, nargs="+", default=(3.0, 6.0, 12.0))
    options.add_argument("--category", default=SPEECH, help="of files without a known kind")
    options.add_argument("--clips", type=int, help="of each kind, at most")
    options.add_argument("--clip-seconds", type=float, default=5.0)
    options.add_argument("--rates", type=float, nargs="+", default=(), help="of effort 2, too")
    options.add_argument("--runs", type=int, default=3, help="rounds of timing")
    options.add_argument("--save", type=Path, metavar="FILE", help="the table as JSON")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    torch.set_num_threads(1)
    measurer = Measurer(options.model, options.weights, options.runs, options.rates)
    clips = clips_of_folder(options.folder, options.clip_seconds, options.category)
    seconds = None if options.clips is None else options.clips * options.clip_seconds
    measured: list[Measured] = []
    for clip in usable(clips, measurer.config, seconds):
        measured += measurer.measure(clip, options.bandwidths)
        print(clip.name, file=sys.stderr, flush=True)
    rows = list(summary(measured))
    print(TABLE.header())
    for row in rows:
        print(TABLE.line(cells(row)))
    if options.save is not None:
        options.save.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
