"""What a machine's two limits allow a network."""

import pytest

from benchmarks.roofline import Roofline, roofline


def test_weights_that_are_read_for_one_multiply_add_each_wait_for_memory() -> None:
    machine = Roofline(macs=100.0, bytes=10.0)
    assert machine.seconds(1000.0, 0.0) == 10.0
    assert machine.seconds(1000.0, 100.0) == 9.0 + 40.0


def test_memory_that_is_fast_enough_does_not_count() -> None:
    assert Roofline(macs=100.0, bytes=400.0).seconds(1000.0, 100.0) == pytest.approx(10.0)


def test_this_machine_multiplies_and_reads() -> None:
    found = roofline(0.1)
    assert found.macs > 1e8
    assert found.bytes > 1e8
