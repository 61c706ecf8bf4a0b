"""What is drawn for a batch is what the recipe says, and follows from its seeds alone."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from model_core.training.data.augment import AS_IT_IS, Augmentation
from model_core.training.data.cache import Recording
from model_core.training.data.draw import MUSIC, TRIES, Draw, Drawer

CLIP = 100
RECORDINGS = [
    Recording("a", "speech", "train", 0, 900),
    Recording("b", MUSIC, "train", 900, 4000),
    Recording("c", "speech", "train", 4900, 100),
    Recording("d", "speech", "train", 5000, 40),
]


def drawer(
    augmentation: Augmentation = AS_IT_IS, speech: float = 1.0, music: float = 1.0
) -> Drawer:
    weights = {name: w for name, w in (("speech", speech), (MUSIC, music)) if w}
    return Drawer(RECORDINGS, CLIP, weights, augmentation, 8000)


def leaves(draw: Draw) -> list[Any]:
    rooms = [getattr(draw.rooms, field.name) for field in fields(draw.rooms)]
    further = [array for part in draw.further for array in part]
    return [draw.starts, draw.lengths, draw.factors, *rooms, *further]


def recording_of(start: np.integer[Any]) -> str:
    return next(r.file for r in RECORDINGS if r.start <= start < r.start + r.length)


def test_it_follows_from_the_seeds_alone() -> None:
    source = drawer(Augmentation())
    first = leaves(source.draw((1, 0, 7), 50))
    source.draw((1, 0, 8), 3)
    again = leaves(drawer(Augmentation()).draw((1, 0, 7), 50))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    for other in ((1, 0, 8), (1, 1, 7), (2, 0, 7)):
        assert not np.array_equal(leaves(source.draw(other, 50))[2], first[2])


def test_places_lie_within_their_recordings() -> None:
    draw = drawer().draw((1,), 2000)
    assert draw.starts.shape == draw.lengths.shape == (2000, TRIES)
    ends = {r.file: r.start + r.length for r in RECORDINGS}
    for start, length in zip(draw.starts.flat, draw.lengths.flat, strict=True):
        file = recording_of(start)
        assert start + length <= ends[file]
        assert length == (40 if file == "d" else CLIP)


def test_categories_come_by_weight_and_recordings_by_length() -> None:
    draw = drawer(speech=3.0, music=1.0).draw((1,), 4000)
    files = [recording_of(start) for start in draw.starts[:, 0]]
    shares = [files.count(file) / 4000 for file in "abcd"]
    speech = 0.75 / 1040
    expected = [900 * speech, 0.25, 100 * speech, 40 * speech]
    assert shares == pytest.approx(expected, abs=0.02)
    offsets = draw.starts[[file == "b" for file in files], 0] - 900
    assert 0 <= offsets.min() < 100
    assert 3800 < offsets.max() <= 3900


def test_sources_rooms_and_levels_come_as_in_the_paper() -> None:
    draw = drawer(Augmentation()).draw((3,), 8000)
    (second, levels), (third, _) = draw.further
    assert set(third) < set(second)
    assert [len(second) / 8000, len(third) / 8000] == pytest.approx([0.36, 0.12], abs=0.02)
    assert len(draw.starts) == 8000 + len(second) + len(third)
    assert -15 <= levels.min() < -14.9
    assert -0.1 < levels.max() <= 0
    rooms = draw.rooms
    music_alone = [
        row for row in set(range(8000)) - set(second) if recording_of(draw.starts[row, 0]) == "b"
    ]
    assert not set(rooms.rows) & set(music_alone)
    assert len(rooms.rows) / (8000 - len(music_alone)) == pytest.approx(0.2, abs=0.02)
    for values, low, high in (
        (rooms.rt60, 0.3, 1.3),
        (rooms.direct_db, 0, 15),
        (rooms.delay, 16, 160),
        (20 * np.log10(np.abs(draw.factors)), -10, 6),
    ):
        span = high - low
        assert low - 1e-4 <= values.min() < low + 0.02 * span
        assert high - 0.02 * span < values.max() <= high + 1e-4
    assert float((draw.factors < 0).mean()) == pytest.approx(0.5, abs=0.03)


def test_music_is_in_no_mix_of_three_where_there_is_anything_else() -> None:
    three = Augmentation(two_sources=0, three_sources=1)
    draw = drawer(three, speech=1e-9).draw((1,), 50)
    assert {recording_of(start) for start in draw.starts[:, 0]} <= set("acd")
    assert len(draw.starts) == 150
    alone = drawer(three, speech=0).draw((1,), 50)
    assert {recording_of(start) for start in alone.starts[:, 0]} == {"b"}


def test_as_it_is_changes_nothing() -> None:
    draw = drawer().draw((1,), 50)
    assert [len(rows) for rows, _ in draw.further] == [0, 0]
    assert len(draw.rooms.rows) == 0
    assert (draw.factors == 1).all()


def test_what_wears_clips_comes_at_its_probability_and_within_its_bounds() -> None:
    worn = Augmentation(quiet=0.5, quiet_db=(-40.0, -30.0), noise=0.3, band_limit=0.2, clipping=0.1)
    draw = drawer(worn).draw((2,), 4000)
    gains = 20 * np.log10(np.abs(draw.factors))
    quiet = gains[gains < -20]
    assert len(quiet) / 4000 == pytest.approx(0.5, abs=0.03)
    assert quiet.min() >= -40 - 1e-4
    assert quiet.max() <= -30 + 1e-4
    for (rows, values), share, (low, high) in (
        (draw.wear.noise, 0.3, worn.noise_db),
        (draw.wear.bands, 0.2, worn.band_hz),
        (draw.wear.clipping, 0.1, worn.clipping_db),
        (draw.wear.offsets, 0.0, worn.offset_between),
    ):
        assert len(rows) / 4000 == pytest.approx(share, abs=0.03)
        assert all(low <= value <= high for value in values)
