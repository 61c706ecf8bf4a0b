"""The package reads the committed files as their JSON says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_core.ecdc.v1 import unpack_codes
from tests.clients.web.package_in_node import Package, PackageError

FOLDER = Path(__file__).parents[2] / "vectors"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ecdc"))


def load(name: str) -> tuple[bytes, dict[str, Any]]:
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return (FOLDER / f"{name}.ecdc").read_bytes(), content


@pytest.mark.parametrize("piece", [0, 3])
@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("v1")])
def test_version_1(package: Package, name: str, piece: int) -> None:
    data, content = load(name)
    if not content["complete"] and not piece:
        with pytest.raises(PackageError, match="invalid_file"):
            package.inspect(data)
        return
    found = package.inspect(data, piece=piece)
    header, expected = found["header"], content["header"]
    books = expected.pop("codebooks")
    assert header["codebooks"] == books
    assert header["id"] == expected.pop("model")
    assert {key: header.get(key) for key in expected} == expected
    assert ("error" in found) == (not content["complete"])
    if content["complete"]:
        assert found["samples"] == content["samples"]
        assert found["originalSamples"] == content["original_samples"]
    assert len(found["chunks"]) == len(content["chunks"])
    for chunk, told in zip(found["chunks"], content["chunks"], strict=True):
        assert chunk["samples"] == told["samples"]
        np.testing.assert_array_equal(np.float32(chunk["scales"]), np.float32(told["scales"]))
        if header["lm"]:
            assert chunk["bytes"] == told["bytes"]
        else:
            codes = unpack_codes(bytes.fromhex(chunk["bytes"]), books, 10, told["frames"])
            assert codes.tolist() == told["codes"]


@pytest.mark.parametrize("piece", [0, 3])
@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("v0")])
def test_version_0(package: Package, name: str, piece: int) -> None:
    data, content = load(name)
    found = package.inspect(data, piece=piece)
    header, expected = found["header"], content["header"]
    assert (header["id"], header["codebooks"]) == (expected["model"], expected["codebooks"])
    assert (header["lm"], header["samples"]) == (0, content["samples"])
    if "codes" in found:
        (told,) = content["segments"]
        assert found["codes"] == np.ravel(told["codes"]).tolist()
        return
    for segment, told in zip(found["segments"], content["segments"], strict=True):
        assert (segment["start"], segment["samples"]) == (told["start"], told["samples"])
        assert segment["scale"] == told["scale"]
        assert segment["codes"] == np.ravel(told["codes"]).tolist()
