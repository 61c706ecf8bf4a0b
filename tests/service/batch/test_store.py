"""Outputs appear whole or not at all; what dead writers leave is removed, and nothing else."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from service.batch.store import Store, StoreError, full_url


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "local":
        yield Store(str(tmp_path / "out"))
        return
    yield Store("memory://bucket/out")
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]


def test_a_file_appears_at_the_end(store: Store) -> None:
    assert store.names() == set()
    with store.writing("sub/x.ecdc") as file:
        file.write(b"ab")
        file.seek(0)
        file.write(b"c")
        assert store.names() == set()
    assert store.names() == {"sub/x.ecdc"}
    assert store.read("sub/x.ecdc") == b"cb"
    with store.writing("sub/x.ecdc") as file:
        file.write(b"new")
    assert store.read("sub/x.ecdc") == b"new"
    store.remove("sub/x.ecdc")
    assert store.names() == set()
    assert store.read("sub/x.ecdc") is None


def test_an_error_leaves_nothing(store: Store) -> None:
    def fail() -> None:
        with store.writing("x") as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert store.names() == set()


def test_what_a_dead_writer_has_left_is_removed(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from service.batch.store import Store\n"
        "with Store(sys.argv[1]).writing('sub/x') as file:\n"
        "    file.write(b'half')\n"
        "    file.flush()\n"
        "    os._exit(1)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    (left,) = (tmp_path / "sub").iterdir()
    assert left.name.startswith(".encodec-batch-")
    other = tmp_path / "sub/.encodec-batch-is-mine.part"
    other.write_bytes(b"")
    store = Store(str(tmp_path))
    with store.writing("sub/y") as file:
        assert store.names() == {"sub/.encodec-batch-is-mine.part"}
        file.write(b"whole")
    assert not left.exists()
    assert store.read("sub/y") == b"whole"


def test_a_destination_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(StoreError, match="is not a folder"):
        Store(str(tmp_path / "x")).names()


def test_a_protocol_that_nobody_knows() -> None:
    with pytest.raises(StoreError, match="abacus"):
        Store("abacus://x/y")


def test_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert full_url("a/../b") == f"{tmp_path}/b"
    assert full_url("file:///x/y") == "/x/y"
    assert full_url("s3://bucket/x/") == "s3://bucket/x"
