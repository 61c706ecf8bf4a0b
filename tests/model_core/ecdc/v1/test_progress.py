"""Which chunk may follow which."""

import pytest

from model_core.ecdc.v1 import Header, Layout
from model_core.ecdc.v1.progress import Progress
from tests.model_core.ecdc.v1.files import MONO, STEREO

DATA = b"some chunk"


def after(model: str, *covered: int) -> Progress:
    progress = Progress(Layout(Header(model, 2, 0, 4 if model == MONO else 1)))
    for number, samples in enumerate(covered):
        progress.add(number, samples, DATA)
    return progress


@pytest.mark.parametrize(
    ("model", "covered"),
    [
        *((MONO, c) for c in ((1,), (1280,), (1280, 1280), (1280, 1280, 5))),
        *((STEREO, c) for c in ((1,), (47_520,), (48_000, 480), (48_000, 47_520))),
        *((STEREO, c) for c in ((47_600, 80), (47_521, 1), (48_000, 47_600, 80))),
    ],
)
def test_whole_files(model: str, covered: tuple[int, ...]) -> None:
    progress = after(model, *covered)
    index = progress.index(9)
    stride = 1280 if model == MONO else 47_520
    assert index.samples == progress.samples == (len(covered) - 1) * stride + covered[-1]
    assert (index.original_samples, index.lengths.count) == (9, len(covered))


@pytest.mark.parametrize(
    ("model", "covered"),
    [
        *((MONO, c) for c in ((1279, 1), (5, 1280))),
        *((STEREO, c) for c in ((47_520, 48_000), (100, 1), (48_000, 479), (47_600, 79))),
        *((STEREO, c) for c in ((47_600, 81), (47_600, 80, 1), (47_600, 48_000))),
    ],
)
def test_none_follows_the_end(model: str, covered: tuple[int, ...]) -> None:
    progress = after(model, *covered[:-1])
    before = progress.samples
    with pytest.raises(ValueError, match="chunk"):
        progress.add(len(covered) - 1, covered[-1], DATA)
    assert progress.samples == before
    assert progress.chunks == len(covered) - 1


@pytest.mark.parametrize(
    ("model", "covered"), [(MONO, ()), (STEREO, (48_000,)), (STEREO, (47_521,))]
)
def test_no_index_while_a_chunk_is_missing(model: str, covered: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="chunk"):
        after(model, *covered).index()


@pytest.mark.parametrize("number", [0, 2])
def test_numbers_count_up(number: int) -> None:
    with pytest.raises(ValueError, match="belongs"):
        after(MONO, 1280).add(number, 1280, DATA)
