"""Which recordings belong together."""

from pathlib import Path

import pytest

from model_core.training.data.groups import groups_of
from model_core.training.data.listing import Listed


def listed(name: str, *keys: str) -> Listed:
    return Listed(Path(name), name, "speech", keys)


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("sp_anna_003.flac", "sp_anna"),
        ("sp_anna_003b.flac", "sp_anna"),
        ("song-12.mp3", "song"),
        ("song (2).mp3", "song"),
        ("talk part 3.wav", "talk"),
        ("talk_seg04.wav", "talk"),
        ("solo.wav", "solo"),
        ("en_esc10_baby_cry_123.flac", "en_esc10_baby_cry"),
        ("007.wav", "007"),
    ],
)
def test_a_number_at_the_end_of_a_name_is_left_out(name: str, group: str) -> None:
    assert groups_of([listed(name)]) == [group]


def test_folders_tell_the_group() -> None:
    names = ["speech/anna/one.wav", "speech/anna/two.wav", "speech/bert/one.wav"]
    anna, also, bert = groups_of([listed(name) for name in names])
    assert anna == also != bert


def test_numbered_files_of_one_folder_are_together() -> None:
    assert len(set(groups_of([listed(f"speech/{i:02}.wav") for i in range(5)]))) == 1


def test_the_highest_telling_level_is_taken() -> None:
    """As in LibriSpeech: speaker, chapter, file; folders above that all share tell nothing."""
    names = [
        f"corpus/clean/{speaker}/{chapter}/{i}.flac"
        for speaker in range(5)
        for chapter in range(3)
        for i in range(2)
    ]
    groups = groups_of([listed(name) for name in names])
    assert len(set(groups)) == 5
    assert all(a.split("/")[2] == g.split("/")[2] for a, g in zip(names, groups, strict=True))


def test_a_shared_speaker_or_piece_joins() -> None:
    groups = groups_of(
        [
            listed("a", "speaker anna", "piece aria"),
            listed("b", "speaker bert", "piece aria"),
            listed("c", "speaker bert", "piece lied"),
            listed("d", "speaker carl"),
        ]
    )
    assert groups[0] == groups[1] == groups[2] != groups[3]


def test_several_flat_folders_are_no_groups() -> None:
    entries = [
        Listed(Path(name), f"{root}/{name}", "speech", root=f"{root}/")
        for root in ("ours", "theirs")
        for name in ("anna_1.wav", "anna_2.wav", "bert_1.wav")
    ]
    assert groups_of(entries) == ["ours/anna"] * 2 + ["ours/bert"] + ["theirs/anna"] * 2 + [
        "theirs/bert"
    ]
