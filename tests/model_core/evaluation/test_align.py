"""A constant delay is undone, in either direction."""

import numpy as np
import pytest

from model_core.evaluation.align import aligned, delay
from model_core.evaluation.scores import scores

from .conftest import RATE, audio


@pytest.mark.parametrize("lag", [-300, -1, 0, 1, 312, 2400])
def test_the_delay_is_found_and_undone(lag: int) -> None:
    x = audio(1.5)
    late = np.pad(x, ((0, 0), (max(lag, 0), 500)))[:, max(-lag, 0) :]
    assert delay(x, late, 2400) == lag
    back = aligned(x, late, RATE)
    assert back.shape == x.shape
    kept = slice(max(-lag, 0), x.shape[1])  # what was cut off in front does not come back
    np.testing.assert_array_equal(back[:, kept], x[:, kept])


def test_it_is_found_through_noise_and_in_stereo() -> None:
    x = np.concatenate([audio(1.5, 1), audio(1.5, 2)])
    late = np.roll(x, 77, axis=1) + np.random.default_rng(0).normal(0, 0.1, x.shape)
    assert delay(x, late, 2400) == 77
    before = scores(x, late.astype(np.float32), RATE, speech=False).si_snr_db
    after = scores(x, aligned(x, late, RATE).astype(np.float32), RATE, speech=False).si_snr_db
    assert after > before + 5
