"""Samples that wait until their peak is known."""

import tempfile
from typing import BinaryIO, cast

import numpy as np

from model_core.audio import WaitingSamples, rescale_factor


def test_all_samples_come_back_with_the_factor_of_their_peak() -> None:
    samples = np.random.default_rng(0).normal(0, 1, (2, 70_000)).astype(np.float32)
    with tempfile.TemporaryFile() as file:
        waiting = WaitingSamples(cast(BinaryIO, file), 2)
        for start in range(0, 70_000, 777):
            waiting.add(samples[:, start : start + 777])
        back = np.concatenate(list(waiting.blocks()), axis=1)
    assert np.array_equal(back, samples)
    assert waiting.factor == rescale_factor(float(np.abs(samples).max())) < 1
