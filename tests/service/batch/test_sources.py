"""What SRC can mean."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from service.batch.sources import Item, SourceError, find_items
from service.batch.store import open_range


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.wav", "a.FLAC", "sub/c.mp3", "sub/.d.mp3", ".e/f.mp3", "g.txt", "h.ecdc"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * len(name))
    return tmp_path


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    fs = fsspec.filesystem("memory")
    yield fs
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]


def names(items: list[Item]) -> list[str]:
    return [item.name for item in items]


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def test_a_folder_is_its_audio_without_hidden_files(folder: Path) -> None:
    items = find_items(str(folder))
    assert names(items) == ["a.FLAC", "b.wav", "sub/c.mp3"]
    assert items[2] == Item(
        str(folder / "sub/c.mp3"), str(folder / "sub/c.mp3"), "sub/c.mp3", size=9
    )


def test_a_folder_without_audio_is_its_ecdc_files(folder: Path) -> None:
    for name in ("a.FLAC", "b.wav", "sub/c.mp3"):
        (folder / name).unlink()
    assert names(find_items(str(folder))) == ["h.ecdc"]


def test_a_destination_in_the_source_is_no_part_of_it(folder: Path) -> None:
    items = find_items(str(folder), destination=str(folder / "sub"))
    assert names(items) == ["a.FLAC", "b.wav"]


def test_a_folder_that_is_the_destination_too_may_hold_what_came_of_it(tmp_path: Path) -> None:
    def found(overwrite: bool = False) -> list[str]:
        return names(find_items(str(tmp_path), destination=str(tmp_path), overwrite=overwrite))

    for name in ("a.ecdc", "b.ecdc"):
        (tmp_path / name).write_bytes(b"")
    assert found() == ["a.ecdc", "b.ecdc"]
    (tmp_path / "a.wav").write_bytes(b"")  # of a.ecdc, or of a recording that b.ecdc is not of
    with pytest.raises(SourceError, match=r"audio and \.ecdc files \(b\.ecdc\)"):
        found()
    assert names(find_items(f"{tmp_path}/**/*.ecdc", destination=str(tmp_path))) == [
        *("a.ecdc", "b.ecdc")
    ]
    (tmp_path / "b.ecdc").unlink()
    assert found() == ["a.wav"]
    with pytest.raises(SourceError, match="say which are meant"):
        found(overwrite=True)


def test_a_source_in_the_destination_is_whole(folder: Path) -> None:
    """`encodec-batch recordings codes.parquet`: the table lies beside the recordings."""
    assert len(find_items(str(folder), destination=str(folder.parent))) == 3


def test_a_glob_is_named_from_its_fixed_folder(folder: Path) -> None:
    assert names(find_items(f"{folder}/*/*.mp3")) == ["sub/c.mp3"]
    assert names(find_items(f"{folder}/sub/*.mp3")) == ["c.mp3"]
    assert names(find_items(f"{folder}/**/*.[mw]*")) == ["b.wav", "sub/c.mp3"]


def test_a_name_with_a_wildcard_in_it_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "what?.wav").write_bytes(b"1")
    assert names(find_items(str(tmp_path / "what?.wav"))) == ["what?.wav"]


def test_a_file_is_itself(folder: Path) -> None:
    assert names(find_items(str(folder / "g.txt"))) == ["g.txt"]
    assert names(find_items(f"file://{folder}/b.wav")) == ["b.wav"]


def test_tar_files_are_what_is_in_them(tmp_path: Path) -> None:
    write_tar(tmp_path / "s-0.tar", {"a/1.wav": b"one", "a/1.json": b"{}", "2.flac": b"three"})
    write_tar(tmp_path / "s-1.tar", {"3.ecdc": b"four"})
    items = find_items(str(tmp_path))
    assert names(items) == ["s-0/a/1.wav", "s-0/2.flac", "s-1/3.ecdc"]
    read = []
    for item in items:
        with open_range(item.url, item.offset, item.size) as (file, size):
            read.append(file.read(100))
            assert size == len(read[-1])
            assert file.read(1) == b""
    assert read == [b"one", b"three", b"four"]
    alone = find_items(str(tmp_path / "s-0.tar"))
    assert names(alone) == ["a/1.wav", "2.flac"]
    assert alone[0].path == f"{tmp_path}/s-0.tar/a/1.wav"


def test_a_file_that_is_no_tar(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"none at all" * 100)
    with pytest.raises(SourceError, match=r"x\.tar"):
        find_items(str(tmp_path / "x.tar"))


def test_urls(memory: fsspec.AbstractFileSystem) -> None:
    memory.pipe_file("/bucket/in/a.wav", b"12")
    memory.pipe_file("/bucket/in/sub/b.wav", b"345")
    items = find_items("memory://bucket/in")
    assert names(items) == ["a.wav", "sub/b.wav"]
    assert items[1].url == "memory:///bucket/in/sub/b.wav"
    with open_range(items[1].url, None, None) as (file, size):
        assert (file.read(), size) == (b"345", 3)
    assert names(find_items("memory://bucket/in/*.wav")) == ["a.wav"]


def test_paths_of_a_manifest(folder: Path) -> None:
    manifest = folder / "list.csv"
    lines = ["path,split,speaker", "sub/c.mp3,train,x", f"{folder}/b.wav,test,y", "../z.wav,,z"]
    manifest.write_text("\n".join(lines))
    items = find_items(str(manifest))
    assert [(item.path, item.split) for item in items] == [
        ("sub/c.mp3", "train"),
        (f"{folder}/b.wav", "test"),
        ("../z.wav", None),
    ]
    assert [item.url for item in items] == [
        f"{folder}/sub/c.mp3",
        f"{folder}/b.wav",
        f"{folder}/../z.wav",
    ]
    assert names(items) == ["sub/c.mp3", f"{folder}/b.wav".lstrip("/"), "z.wav"]
    assert [item.size for item in items] == [9, 5, None]


def test_a_manifest_in_a_bucket(memory: fsspec.AbstractFileSystem) -> None:
    memory.pipe({"/b/m.csv": b"path\nin/a.wav\nin/none.wav\n", "/b/in/a.wav": b"123"})
    items = find_items("memory://b/m.csv")
    assert [(item.url, item.size) for item in items] == [
        ("memory://b/in/a.wav", 3),
        ("memory://b/in/none.wav", None),
    ]


@pytest.mark.parametrize("what", ["/nowhere/at/all", "/nowhere/*.wav"])
def test_nothing_there(what: str) -> None:
    with pytest.raises(SourceError):
        find_items(what)
