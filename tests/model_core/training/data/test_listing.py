"""What a folder and its manifest say."""

from pathlib import Path

import pytest

from model_core.errors import TrainingDataError
from model_core.training.data.listing import list_folders


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_folders_are_listed_in_order_without_what_is_hidden(tmp_path: Path) -> None:
    touch(tmp_path / "x", "b.wav", "a/c.mp3", "Music/d.ogg", ".hidden", ".git/e.wav")
    found = [(e.name, e.category) for e in list_folders([tmp_path / "x"], "speech")]
    assert found == [("Music/d.ogg", "music"), ("a/c.mp3", "speech"), ("b.wav", "speech")]


def test_several_folders_keep_their_names(tmp_path: Path) -> None:
    touch(tmp_path, "one/a.wav", "music/a.wav")
    found = [
        (e.name, e.category) for e in list_folders([tmp_path / "one", tmp_path / "music"], "x")
    ]
    assert found == [("music/a.wav", "music"), ("one/a.wav", "x")]
    touch(tmp_path, "deep/one/a.wav")
    with pytest.raises(TrainingDataError, match="same name"):
        list_folders([tmp_path / "one", tmp_path / "deep/one"], "x")
    with pytest.raises(TrainingDataError, match="no folder"):
        list_folders([tmp_path / "nothing"], "x")


def test_the_manifest_says_what_each_file_is(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text(
        "file,category,speaker,piece,split\n"
        "s/b.wav,speech,anna,,valid\n"
        "a.wav,music,anna,aria,\n"
        "c.wav,music,,,\n"
    )
    touch(tmp_path, "a.wav", "not_named.wav")
    a, c, b = list_folders([tmp_path], "x")
    assert (a.name, a.category, a.keys, a.split) == (
        "a.wav",
        "music",
        ("speaker anna", "piece aria"),
        None,
    )
    assert (b.path, b.keys, b.split) == (tmp_path / "s/b.wav", ("speaker anna",), "valid")
    assert c.keys == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,category\na.wav,speech\n", "no column file"),
        ("", "no column category and file"),
        ("file,category\na.wav,\n", "line 2"),
        ("file,category,split\na.wav,speech,some\n", "'some'"),
        ("file,category\na.wav,speech\na.wav,music\n", "twice"),
    ],
)
def test_a_broken_manifest_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(TrainingDataError, match=message):
        list_folders([tmp_path], "x")


def test_a_manifest_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_bytes(b"\xff\xfe\x80,\n")
    with pytest.raises(TrainingDataError, match="cannot be read"):
        list_folders([tmp_path], "x")
