"""The chunks of any length of audio: the segments of version 0, in order, and no others."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.config import CONFIGS
from model_core.ecdc import segments
from model_core.ecdc.v1 import Header, Layout
from tests.model_core.ecdc.v1.files import MONO, STEREO

EDGES = [1, 319, 320, 321, 47_519, 47_520, 47_521, 47_999, 48_000, 48_001, 95_039, 95_040, 95_041]
EDGES += [95_519, 95_520, 95_521, 142_559, 142_560, 142_561, 143_041]


def layout_of(model: str, chunk: int, codebooks: int = 2, lm: int = 0) -> Layout:
    return Layout(Header(model, codebooks, lm, chunk))


def check(layout: Layout, total: int) -> None:
    found = []
    count = layout.chunks(total)
    for number in range(count):
        covered = layout.samples(number, total)
        assert 1 <= covered <= layout.full
        start = number * layout.stride
        parts = layout.segments(covered)
        found += [(start + part.offset, part.samples, part.frames) for part in parts]
        assert layout.frames(covered) == sum(part.frames for part in parts)
        least, most = layout.code_bytes(covered)
        assert least == most == math.ceil(layout.frames(covered) * 2 * 10 / 8)
    assert start + covered == total
    if layout.config.segment:
        assert covered <= layout.stride
        whole = segments(layout.config, total)
        assert found == [(part.offset, part.samples, part.frames) for part in whole]
    else:
        assert sum(frames for _, _, frames in found) == layout.config.frames(total)


@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_at_every_edge_of_a_segment(chunk: int) -> None:
    for total in EDGES:
        check(layout_of(STEREO, chunk), total)


@settings(deadline=None, derandomize=True)
@given(st.sampled_from(sorted(CONFIGS)), st.integers(1, 60), st.integers(1, 1_000_000))
def test_any_length(model: str, chunk: int, total: int) -> None:
    check(layout_of(model, chunk), total)


def test_a_language_model_may_take_three_bytes_a_code() -> None:
    layout = layout_of(MONO, 76, 8, lm=1)
    assert layout.code_bytes(layout.full) == (0, 3 * 76 * 8 + 16)


def test_one_scale_a_segment_of_a_model_that_normalises() -> None:
    assert layout_of(MONO, 76).scales(10) == 0
    stereo = layout_of(STEREO, 3)
    assert [stereo.scales(n) for n in (1, 47_520, 47_521, stereo.full)] == [1, 1, 2, 3]
