"""The table of lengths: runs cost nothing, claims take no memory."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.ecdc.v1.lengths import Lengths
from model_core.ecdc.v1.varint import varint
from model_core.errors import BitstreamError
from tests.model_core.ecdc.v1.files import memory_below

MOST = 1000


def of(sizes: list[int]) -> Lengths:
    lengths = Lengths()
    for size in sizes:
        lengths.add(size)
    return lengths


@settings(deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(7, 9) | st.integers(7, MOST), st.integers(1, 5))))
def test_lengths_come_back_and_locate_each_chunk(runs: list[tuple[int, int]]) -> None:
    sizes = [size for size, count in runs for _ in range(count)]
    lengths = of(sizes)
    data = lengths.to_bytes()
    assert len(data) <= 4 * len(sizes)
    assert Lengths.from_bytes(data, 7, MOST, sum(sizes)) == lengths
    assert lengths.count == len(sizes)
    for number, size in enumerate(sizes):
        assert lengths.locate(number) == (sum(sizes[:number]), size)
    for number in (-1, len(sizes)):
        with pytest.raises(IndexError):
            lengths.locate(number)


def test_there_are_no_more_runs_than_memory_may_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_core.ecdc.v1.lengths.MOST_RUNS", 4)
    lengths = of([8, 9, 9, 8, 9])
    lengths.add(9, 1000)
    with pytest.raises(BitstreamError, match="change their length more than 4 times"):
        lengths.add(8)


def test_equal_lengths_are_one_group() -> None:
    assert of([768] * 5000 + [30]).to_bytes() == varint(10_001) + varint(768) + varint(2) + b"\x1e"
    assert of([8, 9, 10]).to_bytes() == b"\x06\x08\x09\x0a"


def test_the_grouping_does_not_matter() -> None:
    assert Lengths.from_bytes(b"\x02\x08\x03\x08\x04\x08\x08", 7, MOST, 32) == of([8] * 4)
    assert of([8, 8, 9]) != of([8, 9, 9])


@pytest.mark.parametrize(
    "data",
    [
        b"\x00",  # empty groups
        b"\x01",
        b"\x04\x08",  # one length is missing
        b"\x05",
        b"\x02\x06" + b"\x02\x0a",  # under the least
        b"\x02" + varint(1001),  # over the most
        b"\x02\x0f",  # 15 bytes, 16 are there
        b"\x02\x11",
        varint(2**55 + 1) + b"\x08",
        varint(2**55) + b"\x08\x08\x08",
        b"",
    ],
)
def test_what_does_not_make_up_the_bytes_is_refused(data: bytes) -> None:
    with pytest.raises(BitstreamError):
        Lengths.from_bytes(data, 7, MOST, 16)


def test_claims_take_no_memory() -> None:
    with memory_below(10_000):
        lengths = Lengths.from_bytes(varint(2 * 10**9 + 1) + b"\x08", 7, MOST, 8 * 10**9)
        assert lengths.locate(10**9 - 1) == (8 * 10**9 - 8, 8)
