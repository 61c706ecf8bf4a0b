"""Intervals over clips, held to cases that can be computed."""

from itertools import product

import numpy as np
import pytest

from model_core.evaluation.intervals import Figure, differences, interval, of_row, paired
from model_core.evaluation.report import Measurement, Report
from model_core.evaluation.scores import Scores


def _measured(contender: str, clip: str, snr: float, pesq: float | None = None) -> Measurement:
    scores = Scores(snr, mel_db=-snr, pesq=pesq)
    return Measurement(contender, 6.0, clip, "speech", 1.0, 750, 700, None, None, scores)


@pytest.mark.parametrize("figure", [np.mean, np.median])
@pytest.mark.parametrize("values", [(1.0, 2.0, 4.0), (0.5, 3.0, 3.5, 7.0), (1.0, 1.5, 4.0, 9.0, 2)])
def test_it_is_that_of_all_equally_probable_resamples(
    values: tuple[float, ...], figure: Figure
) -> None:
    all_of_them = np.sort(figure(np.array([*product(values, repeat=len(values))]), axis=1))
    found = interval(values, figure)
    assert found is not None
    assert found.value == pytest.approx(figure(values, axis=0))
    for place, bound in ((0.025, found.low), (0.975, found.high)):
        # 2000 draws place the bound within 0.01 of its share of the whole distribution.
        nearby = np.quantile(
            all_of_them, [max(place - 0.01, 0), min(place + 0.01, 1)], method="inverted_cdf"
        )
        assert nearby[0] - 1e-9 <= bound <= nearby[1] + 1e-9


def test_it_is_the_normal_one_for_a_mean_of_many() -> None:
    values = np.random.default_rng(3).normal(5.0, 2.0, 400)
    found = interval(values.tolist(), np.mean)
    half = 1.96 * values.std() / 20
    assert found is not None
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)
    assert interval(values.tolist(), np.mean) == found


def test_a_difference_that_is_the_same_on_every_clip_is_certain() -> None:
    hard_and_easy = np.random.default_rng(4).normal(0, 10, 30)
    found = paired((hard_and_easy + 0.25).tolist(), hard_and_easy.tolist(), np.median)
    assert found is not None
    assert [found.value, found.low, found.high] == pytest.approx([0.25] * 3)


def test_one_clip_has_none() -> None:
    assert interval([3.0], np.mean) is None
    assert paired([3.0], [2.0], np.mean) is None
    assert of_row([_measured("a", "x", 1.0)]) == {}


def test_the_first_is_compared_with_each_other_on_the_clips_that_both_have() -> None:
    report = Report(["ours", "theirs", "opus"])
    for clip, ours, theirs in (("x", 3.0, 2.5), ("y", 9.0, 8.0), ("z", 5.0, 5.25)):
        report.measurements.append(_measured("ours", clip, ours, pesq=2.0 if clip != "z" else None))
        report.measurements.append(_measured("theirs", clip, theirs, pesq=1.5))
    report.measurements.append(_measured("opus", "y", 4.0))
    to_theirs, to_opus = differences(report)
    assert (to_theirs.contender, to_theirs.other, to_theirs.clips) == ("ours", "theirs", 3)
    # Of three values, a mean of all the least (1 in 27) is more probable than 2.5 %.
    mel = to_theirs.figures["mel_db"]
    assert [mel.value, mel.low, mel.high] == pytest.approx([-1.25 / 3, -1.0, 0.25])
    assert to_theirs.figures["si_snr_db"].value == 5.0 - 5.25
    assert to_theirs.figures["pesq"].value == 0.5
    assert "stoi" not in to_theirs.figures
    assert (to_opus.other, to_opus.clips, to_opus.figures) == ("opus", 1, {})
