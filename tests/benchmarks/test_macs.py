"""The multiply-adds that are counted are those of the paper's networks."""

import pytest

from benchmarks.macs import Direction, macs_per_second, recurrent_weights
from model_core.config import CONFIGS, ENCODEC_24KHZ, ENCODEC_48KHZ


def search(name: str, bandwidth: float) -> float:
    """The cost of the codebook search: 1024 entries of 128 values for each codebook and frame."""
    return CONFIGS[name].codebooks_for(bandwidth) * 1024 * 128 * CONFIGS[name].frame_rate


@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_networks_at_24_khz(direction: Direction) -> None:
    macs = macs_per_second(ENCODEC_24KHZ, direction, 6.0)
    if direction == "encode":
        macs -= search("encodec_24khz", 6.0)
    assert macs == pytest.approx(1.49e9, rel=0.005)


@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_networks_at_48_khz_which_code_a_hundredth_twice(direction: Direction) -> None:
    macs = macs_per_second(ENCODEC_48KHZ, direction, 6.0)
    macs *= 47_520 / 48_000
    if direction == "encode":
        macs -= search("encodec_48khz", 6.0)
    assert macs == pytest.approx(2.99e9, rel=0.005)


def test_search_grows_with_the_bandwidth() -> None:
    at_6, at_24 = (macs_per_second(ENCODEC_24KHZ, "encode", kbps) for kbps in (6.0, 24.0))
    assert at_24 - at_6 == 24 * 1024 * 128 * 75
    assert search("encodec_24khz", 6.0) == pytest.approx(79e6, rel=0.01)


def test_a_wider_network_costs_more_by_its_matrices() -> None:
    narrow = macs_per_second(ENCODEC_24KHZ.with_filters(8), "decode", 6.0)
    wide = macs_per_second(ENCODEC_24KHZ, "decode", 6.0)
    assert 8 < wide / narrow < 16


def test_the_lstm_reads_two_square_matrices_of_four_gates() -> None:
    assert recurrent_weights(ENCODEC_24KHZ, "encode") == 2 * 4 * 512 * 512
