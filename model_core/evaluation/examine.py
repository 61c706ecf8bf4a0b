"""Every contender on every clip, in one process or several."""

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial

import numpy as np
import torch

from ..codec import Codec
from ..config import config_of
from .align import aligned
from .clips import SPEECH, Clip
from .codec_run import coded
from .errors import PeerError
from .peers import PEERS
from .report import Failure, Measurement
from .scores import scores, visqol
from .usage import Usage

ORIGINAL = "Original"


@dataclass(frozen=True)
class Plan:
    """What to compare: sets of weights of one model, and other codecs by name; rates in kbps."""

    model: str
    weights: tuple[str | None, ...]
    bandwidths: tuple[float, ...]
    peers: tuple[str, ...] = ()
    peer_rates: tuple[float, ...] = ()
    lm: bool = True
    device: str = "cpu"
    visqol: bool = False


@dataclass(frozen=True)
class Heard:
    """A clip as a contender leaves it at `kbps` (None: the original), `[C, n]` in step with it."""

    contender: str
    kbps: float | None
    samples: np.ndarray


@dataclass(frozen=True)
class Examination:
    """The results for one clip. `usage` is by contender; `heard` begins with the original and is
    empty for a clip that is not to be heard."""

    measurements: list[Measurement] = field(default_factory=list)
    usage: dict[str, Usage] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)


class Examiner:
    """Holds the loaded codecs of a plan.

    Raises `UnknownModelError`, `UnsupportedBandwidthError`, `WeightsUnavailableError` and
    `WeightsError`.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        self.config = config_of(plan.model)
        self.codecs = [
            Codec.load(plan.model, weights, plan.device, lm=plan.lm)
            for weights in (plan.weights if plan.bandwidths else ())
        ]
        for bandwidth in plan.bandwidths:
            self.config.codebooks_for(bandwidth)
        self.names = _names([codec.name for codec in self.codecs])

    def examine(self, clip: Clip) -> Examination:
        """Code one clip with every contender at every rate. Raises `InvalidAudioError`."""
        samples = clip.read(self.config)
        found = Examination()
        if clip.heard:
            found.heard.append(Heard(ORIGINAL, None, samples))
        for name, codec in zip(self.names, self.codecs, strict=True):
            self._by_codec(name, codec, clip, samples, found)
        for peer in PEERS:
            for kbps in self.plan.peer_rates if peer.name in self.plan.peers else ():
                if kbps < peer.lowest_kbps(samples.shape[0]):
                    continue
                try:
                    result = peer.code(samples, self.config.sample_rate, kbps)
                except PeerError as error:
                    found.failures.append(Failure(peer.name, kbps, clip.name, str(error)))
                    continue
                estimate = aligned(samples, result.samples, self.config.sample_rate)
                sizes = result.file_bytes, result.payload_bytes
                self._add(found, peer.name, kbps, clip, samples, estimate, sizes)
        return found

    def _by_codec(
        self, name: str, codec: Codec, clip: Clip, samples: np.ndarray, found: Examination
    ) -> None:
        lm = self.plan.lm and codec.has_lm
        results, codes = coded(codec, samples, self.plan.bandwidths, lm)
        found.usage[name] = Usage.of(codes, self.config.bins, clip.seconds)
        for result in results:
            sizes = result.file_bytes, result.payload_bytes
            lm_sizes = result.lm_bytes, result.lm_payload_bytes
            self._add(found, name, result.kbps, clip, samples, result.samples, sizes, lm_sizes)

    def _add(
        self,
        found: Examination,
        contender: str,
        kbps: float,
        clip: Clip,
        samples: np.ndarray,
        estimate: np.ndarray,
        sizes: tuple[int, int],
        lm_sizes: tuple[int | None, int | None] = (None, None),
    ) -> None:
        rate = self.config.sample_rate
        speech = clip.category == SPEECH
        found_scores = scores(samples, estimate, rate, speech)
        if self.plan.visqol:
            perceived = visqol(samples, estimate, rate, speech)
            found_scores = replace(found_scores, visqol=perceived)
        found.measurements.append(
            Measurement(
                contender,
                kbps,
                clip.name,
                clip.category,
                samples.shape[1] / rate,
                *sizes,
                *lm_sizes,
                found_scores,
            )
        )
        if clip.heard:
            found.heard.append(Heard(contender, kbps, estimate))


def examine_all(plan: Plan, clips: Sequence[Clip], jobs: int = 1) -> Iterator[Examination]:
    """The examination of each clip, in their order, for any number of processes `jobs`.

    Each process has one thread for torch. Raises what `Examiner` raises.
    """
    work = partial(_examine, plan)
    if jobs == 1:
        yield from map(work, clips)
        return
    pool = ProcessPoolExecutor(
        jobs, multiprocessing.get_context("spawn"), torch.set_num_threads, (1,)
    )
    try:
        yield from pool.map(work, clips)
    finally:
        pool.shutdown(cancel_futures=True)


@lru_cache(maxsize=1)
def examiner(plan: Plan) -> Examiner:
    """The examiner of this process. Raises what `Examiner` raises."""
    return Examiner(plan)


def _examine(plan: Plan, clip: Clip) -> Examination:
    return examiner(plan).examine(clip)


def _names(names: list[str]) -> list[str]:
    """Unique names: repeated weights get a number."""
    return [
        name if names.index(name) == i else f"{name} ({names[:i].count(name) + 1})"
        for i, name in enumerate(names)
    ]
