"""The results: one `Measurement` per clip and contender, and the `Row`s of the table."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from .scores import Scores
from .usage import Usage


@dataclass(frozen=True)
class Measurement:
    """One clip coded by one contender. `kbps` is the requested rate; sizes are in bytes.

    `payload_bytes` is without header or container; the `lm` sizes are those of the file coded with
    the language model.
    """

    contender: str
    kbps: float
    clip: str
    category: str
    seconds: float
    file_bytes: int
    payload_bytes: int
    lm_bytes: int | None
    lm_payload_bytes: int | None
    scores: Scores


@dataclass(frozen=True)
class Failure:
    """A peer that failed on a clip."""

    contender: str
    kbps: float
    clip: str
    reason: str


@dataclass(frozen=True)
class Row:
    """One contender at one rate on all clips of a kind.

    SI-SNR is a median, the other measures are means over the clips for which they are defined:
    `pesq_clips`, `stoi_clips` and `visqol_clips`. `lm_saving_percent` is what the language model
    saves of the payload's bits.
    """

    category: str
    kbps: float
    contender: str
    clips: int
    seconds: float
    kbps_written: float
    kbps_payload: float
    kbps_lm: float | None
    lm_saving_percent: float | None
    si_snr_db: float
    mel_db: float
    pesq: float | None
    pesq_clips: int
    stoi: float | None
    stoi_clips: int
    visqol: float | None
    visqol_clips: int

    @classmethod
    def of(cls, measurements: Sequence[Measurement]) -> Self:
        """The row of all measurements of one contender, rate and kind."""
        first = measurements[0]
        seconds = sum(m.seconds for m in measurements)
        payload = sum(m.payload_bytes for m in measurements)
        lm_bytes = [m.lm_bytes for m in measurements if m.lm_bytes is not None]
        lm_payload = sum(m.lm_payload_bytes or 0 for m in measurements)
        pesq = known_scores(measurements, "pesq")
        visqol = known_scores(measurements, "visqol")
        stoi = known_scores(measurements, "stoi")
        return cls(
            category=first.category,
            kbps=first.kbps,
            contender=first.contender,
            clips=len(measurements),
            seconds=seconds,
            kbps_written=_kbps(sum(m.file_bytes for m in measurements), seconds),
            kbps_payload=_kbps(payload, seconds),
            kbps_lm=_kbps(sum(lm_bytes), seconds) if lm_bytes else None,
            lm_saving_percent=100 * (1 - lm_payload / payload) if lm_bytes else None,
            si_snr_db=statistics.median(m.scores.si_snr_db for m in measurements),
            mel_db=statistics.fmean(m.scores.mel_db for m in measurements),
            pesq=statistics.fmean(pesq) if pesq else None,
            pesq_clips=len(pesq),
            stoi=statistics.fmean(stoi) if stoi else None,
            stoi_clips=len(stoi),
            visqol=statistics.fmean(visqol) if visqol else None,
            visqol_clips=len(visqol),
        )


def known_scores(measurements: Sequence[Measurement], name: str) -> list[float]:
    """The scores of that name of the clips that have one."""
    scores = [getattr(m.scores, name) for m in measurements]
    return [score for score in scores if score is not None]


@dataclass
class Report:
    """The data of a table, a plot or a file. `notes` says what is skipped, and why."""

    contenders: list[str]
    measurements: list[Measurement] = field(default_factory=list)
    usage: dict[str, Usage] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(
        self,
        measurements: Iterable[Measurement],
        usage: dict[str, Usage],
        failures: Iterable[Failure],
    ) -> None:
        """Add the results of a clip."""
        self.measurements += measurements
        self.failures += failures
        for contender, more in usage.items():
            known = self.usage.get(contender)
            self.usage[contender] = more if known is None else known + more

    @property
    def groups(self) -> dict[tuple[str, float, int], list[Measurement]]:
        """The measurements of each row, by kind, then rate, then place in `contenders`; in this
        order."""
        groups: dict[tuple[str, float, int], list[Measurement]] = {}
        for m in self.measurements:
            key = m.category, m.kbps, self.contenders.index(m.contender)
            groups.setdefault(key, []).append(m)
        return dict(sorted(groups.items()))

    @property
    def rows(self) -> list[Row]:
        """One for each of `groups`."""
        return [Row.of(group) for group in self.groups.values()]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "rows": [asdict(row) for row in self.rows],
            "codebooks": {
                contender: {
                    "seconds": usage.seconds,
                    "most_unused_percent": usage.most_unused_percent,
                    "unused_percent": usage.unused_percent,
                    "entropy_bits": usage.entropy_bits,
                }
                for contender, usage in self.usage.items()
            },
            "failures": [asdict(failure) for failure in self.failures],
            "notes": self.notes,
        }


def _kbps(size: int, seconds: float) -> float:
    return 8 * size / seconds / 1000
