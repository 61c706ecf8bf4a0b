"""No speaker and no piece is on both sides."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_core.errors import SettingsError, TrainingDataError
from model_core.training.data.split import Part, split_recordings

CATEGORIES = ["speech", "music", "environment"]
PARTS = st.lists(
    st.tuples(
        st.sampled_from(CATEGORIES),
        st.integers(0, 12),
        st.integers(1, 5000),
    ),
    min_size=1,
    max_size=60,
).map(
    lambda drawn: [
        Part(f"{i:03}.flac", category, f"group {group}", length)
        for i, (category, group, length) in enumerate(drawn)
    ]
)


@given(PARTS, st.floats(0, 0.9))
def test_no_group_is_on_both_sides(parts: list[Part], share: float) -> None:
    split = split_recordings(parts, share)
    assert [p.file for p in split.parts] == [p.file for p in parts]
    sides = defaultdict(set)
    for part in split.parts:
        assert part.split in ("train", "valid")
        sides[part.group].add(part.split)
    assert all(len(found) == 1 for found in sides.values())


@given(PARTS, st.floats(0.01, 0.9))
def test_every_category_is_trained_on_and_validated(parts: list[Part], share: float) -> None:
    split = split_recordings(parts, share)
    for category in {p.category for p in parts}:
        own = [p for p in split.parts if p.category == category]
        assert any(p.split == "train" for p in own)
        assert any(p.split == "valid" for p in own) == (len(own) > 1)


@given(PARTS, st.floats(0, 0.9))
def test_the_order_of_the_files_does_not_matter(parts: list[Part], share: float) -> None:
    one = {p.file: p.split for p in split_recordings(parts, share).parts}
    other = {p.file: p.split for p in split_recordings(parts[::-1], share).parts}
    assert one == other


@given(PARTS, st.data())
def test_the_manifest_decides_and_a_group_follows(parts: list[Part], data: st.DataObject) -> None:
    side = data.draw(st.sampled_from(["train", "valid"]))
    fixed = [
        Part(p.file, p.category, p.group, p.length, side if i == 0 else None)
        for i, p in enumerate(parts)
    ]
    split = split_recordings(fixed, 0.1)
    assert split.parts[0].split == side
    group = parts[0].group
    assert {p.split for p in split.parts if p.group == group} == {side}


def test_about_the_share_is_held_out() -> None:
    parts = [Part(f"{i}", "speech", f"speaker {i % 50}", 100) for i in range(1000)]
    held = [p for p in split_recordings(parts, 0.1).parts if p.split == "valid"]
    assert len(held) == 100
    assert len({p.group for p in held}) == 5
    assert not any(p.split == "valid" for p in split_recordings(parts, 0).parts)


def test_one_person_gives_whole_files_and_it_is_said() -> None:
    parts = [Part(f"{i}.wav", "speech", "me", 100) for i in range(10)]
    split = split_recordings(parts, 0.1)
    assert sum(p.split == "valid" for p in split.parts) == 1
    assert len(split.notes) == 1
    assert "1 of 10 files" in split.notes[0]
    alone = split_recordings(parts[:1], 0.1)
    assert alone.parts[0].split == "train"
    assert "single recording" in alone.notes[0]


def test_prefixes_hold_out_exactly_their_files() -> None:
    names = ["a/sp_anna_1.wav", "a/sp_bert_1.wav", "b/x.wav"]
    parts = [Part(name, "speech", name, 10) for name in names]
    sides = [p.split for p in split_recordings(parts, 0.1, ["sp_anna", "b/"]).parts]
    assert sides == ["valid", "train", "valid"]
    with pytest.raises(TrainingDataError, match="nobody"):
        split_recordings(parts, 0.1, ["nobody"])
    with pytest.raises(SettingsError):
        split_recordings(parts, 1.0)
