"""Finding a build of the native engine that works here."""

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from model_core.engine.native import library
from model_core.engine.native.library import BUILDS, NativeLibrary, find_library
from model_core.errors import EncodecError

_PATHS = {
    build: next(Path(library.__file__).parent.glob(f"_{build}.*"))
    for build in BUILDS
    if find_library(build) is not None
}
"""Those that run here, best first."""

pytestmark = pytest.mark.skipif(not _PATHS, reason="no C++ compiler when the package was installed")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Copies, which are looked at instead."""
    for path in _PATHS.values():
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(library, "__file__", str(tmp_path / "library.py"))
    find_library.cache_clear()
    yield tmp_path
    find_library.cache_clear()


def test_each_is_what_it_is_called() -> None:
    for build, path in _PATHS.items():
        assert NativeLibrary(build, path).build == build
        for other in set(BUILDS) - {build}:
            with pytest.raises(OSError, match=f"compiled for {build}"):
                NativeLibrary(other, path)


@pytest.mark.parametrize("content", [b"no library", None], ids=["broken", "another build"])
def test_one_that_cannot_be_used_is_passed_over(
    folder: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    best, *others = _PATHS
    damaged = folder / _PATHS[best].name
    damaged.unlink()  # not to write into what is loaded
    if content is not None:
        damaged.write_bytes(content)
    elif others:
        shutil.copy(_PATHS[others[-1]], damaged)
    else:
        pytest.skip("there is one build for this processor")
    with caplog.at_level(logging.WARNING):
        found = find_library()
    assert (None if found is None else found.build) == (others[0] if others else None)
    assert f"build {best} cannot be used" in caplog.text
    with pytest.raises(EncodecError, match=f"build {best} cannot be used"):
        find_library(best)


@pytest.mark.parametrize("build", _PATHS)
def test_a_root_has_torchs_bits(build: str) -> None:
    """Those of MKL for this processor."""
    library = find_library(build)
    assert library is not None
    x = 10 ** torch.linspace(-20, 6, 20_000)
    found = [library.root(value) for value in x.tolist()]
    assert found == x.sqrt().tolist()
    assert [library.root(value) for value in (0.0, 1.0, np.inf)] == [0, 1, np.inf]
