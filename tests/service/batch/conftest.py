"""Narrow models, recordings, and the command."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.service.batch.batch import ALONE, Batch, Run, recordings


@dataclass(frozen=True)
class Coded:
    """What the command has made of `source` once, for all tests: nothing may be changed in it."""

    folder: Path
    run: Run


@pytest.fixture
def batch(tmp_path: Path, weights: Path) -> Batch:
    return Batch(tmp_path, weights)


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder; see `recordings`. Nothing may be changed in it."""
    return recordings(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="session")
def coded(source: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Coded:
    """The `.ecdc` files of `source`, and the run that has made them."""
    folder = tmp_path_factory.mktemp("coded")
    return Coded(folder / "out", Batch(folder, weights)(source, folder / "out", *ALONE))


@pytest.fixture(scope="session")
def crash(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A library to preload; see `crash.c`."""
    return build_crash(tmp_path_factory.mktemp("crash"))


def build_crash(folder: Path) -> str:
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    library = folder / "crash.so"
    source = Path(__file__).with_name("crash.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return str(library)
