import math
import tracemalloc

import numpy as np
import pytest
import torch
import torchaudio

from model_core.audio.resample import BlockResampler, Resampler, resampler
from tests.media import Floats


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def noise(length: int, channels: int = 2) -> Floats:
    generator = np.random.default_rng(length)
    return generator.uniform(-0.5, 0.5, (channels, length)).astype(np.float32)


def streamed(resample: Resampler, samples: Floats, sizes: tuple[int, ...]) -> Floats:
    parts, start, turn = [], 0, 0
    while start < samples.shape[1]:
        size = sizes[turn % len(sizes)]
        parts.append(resample.push(samples[:, start : start + size]))
        start, turn = start + size, turn + 1
    return np.concatenate([*parts, resample.finish()], axis=1)


def whole(samples: Floats, source: int, target: int) -> Floats:
    result: Floats = torchaudio.transforms.Resample(source, target)(
        torch.from_numpy(samples)
    ).numpy()
    return result


RATES = [
    (44_100, 24_000),
    (44_100, 48_000),
    (48_000, 24_000),
    (8_000, 24_000),
    (96_000, 48_000),
    (22_050, 48_000),
    (768_000, 24_000),
    (4_000, 48_000),
    (1_009, 997),
]


@pytest.mark.parametrize(("source", "target"), [*RATES, (3_001, 1_999), (4_001, 1_013)])
def test_equal_to_the_whole_file_at_once(source: int, target: int) -> None:
    for length in (1, 2, 333, 70_001):
        samples = noise(length)
        want = whole(samples, source, target)
        got = streamed(BlockResampler(2, source, target), samples, (length,))
        assert got.shape == want.shape == (2, math.ceil(length * target / source))
        assert np.abs(got - want).max() <= 1e-6


@pytest.mark.parametrize(
    ("source", "target"), [(44_100, 24_000), (1_009, 997), (8_000, 48_000), (44_101, 24_000)]
)
def test_blocks_of_any_size_give_the_same_bits(source: int, target: int) -> None:
    samples = noise(90_007)
    want = streamed(BlockResampler(2, source, target), samples, (samples.shape[1],))
    for sizes in ((1000,), (1, 4096, 333), (50_000, 7)):
        assert np.array_equal(streamed(BlockResampler(2, source, target), samples, sizes), want)


@pytest.mark.parametrize(
    ("source", "target"), [(44_101, 24_000), (96_001, 48_000), (4_001, 48_000), (767_999, 24_000)]
)
def test_ratios_that_do_not_reduce(source: int, target: int) -> None:
    """A tone stays that tone, and torchaudio's kernel of up to 74 GB is not made."""
    resample = resampler(1, source, target)
    t = np.arange(source // 2) / source
    made = streamed(resample, np.sin(2 * np.pi * 440 * t, dtype=np.float32)[None], (10_000,))
    assert made.shape == (1, math.ceil(source // 2 * target / source))
    want = np.sin(2 * np.pi * 440 * np.arange(made.shape[1]) / target)
    middle = slice(200, -200)
    assert np.abs(made[0, middle] - want[middle]).max() < 5e-3


def test_a_kernel_is_made_in_its_own_room() -> None:
    """Short uploads have little memory to be decoded in."""
    tracemalloc.start()
    resample = BlockResampler(1, 705_601, 24_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.5 * resample._kernel.nbytes


def test_nothing_in_nothing_out() -> None:
    for source in (24_000, 44_100, 44_101):
        resample = resampler(2, source, 24_000)
        assert resample.push(noise(0)).shape == (2, 0)
        assert resample.finish().shape == (2, 0)


def test_the_same_rate_changes_nothing() -> None:
    samples = noise(1000)
    assert np.array_equal(streamed(resampler(2, 48_000, 48_000), samples, (77,)), samples)


@pytest.mark.parametrize(("source", "target"), [*RATES, (48_000, 24_000), (16_000, 24_000)])
def test_an_eager_resampler_gives_the_same_samples_sooner(source: int, target: int) -> None:
    samples = noise(source // 4)
    patient, eager = (resampler(2, source, target, eager) for eager in (False, True))
    assert np.array_equal(
        streamed(eager, samples, (640, 1, 99)), streamed(patient, samples, (samples.shape[1],))
    )
    if math.gcd(source, target) < 100:
        return  # a frame, which is computed as one, is long
    eager = resampler(2, source, target, eager=True)
    given = eager.push(samples[:, : source // 10]).shape[1]
    assert given / target > 0.1 - 0.02
