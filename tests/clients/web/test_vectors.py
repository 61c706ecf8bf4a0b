"""The package reads the committed files as their JSON says."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_core.ecdc.v1 import unpack_codes
from model_core.ecdc.v1.checksum import crc_of
from model_core.ecdc.v1.header import parse_header
from model_core.errors import BitstreamError
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


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_read_or_refused_by_its_code(package: Package, name: str) -> None:
    data, _ = load(name)
    rng = random.Random(name)
    for _ in range(40):
        mutant = bytearray(data)
        for _ in range(rng.choice((1, 1, 3))):
            mutant[rng.randrange(len(mutant))] = rng.randrange(256)
        mutant = mutant[: rng.choice((len(mutant), rng.randrange(len(mutant) + 1)))]
        code = None
        try:
            package.inspect(bytes(mutant), piece=rng.choice((0, 50)))
        except PackageError as error:
            code = error.code
        assert code in (None, "invalid_file", "unsupported_file")


GOOD = {"m": "encodec_24khz", "nc": 2, "lm": 0, "chunk": 4}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(GOOD),
        json.dumps(GOOD | {"rate": 44_100, "x": [{"a": None}], "gain": -1.5e1}),
        json.dumps(GOOD | {"m": "encodec_48khz:12345678+9abcdef0", "chunk": 60, "lm": 255}),
        json.dumps(GOOD | {"m": "encodec_48khz:12345678+9abcdef0", "chunk": 61}),
        json.dumps(GOOD | {"m": "encodec_24khz+12345678"}),
        json.dumps(GOOD | {"m": "constructor"}),
        json.dumps(GOOD | {"nc": 3}),
        json.dumps(GOOD | {"nc": 2.0}),
        json.dumps(GOOD | {"lm": False}),
        json.dumps(GOOD | {"lm": 256}),
        json.dumps(GOOD | {"chunk": 9001}),
        json.dumps(GOOD | {"rate": None}),
        json.dumps(GOOD | {"rate": 0}),
        json.dumps(GOOD | {"channels": 65_536}),
        json.dumps(GOOD | {"name": "É.flac"}),
        json.dumps(GOOD | {"name": "a/b"}),
        json.dumps(GOOD | {"name": ".."}),
        json.dumps(GOOD | {"name": "\ud800"}),
        json.dumps(GOOD | {"name": "é" * 128}),
        json.dumps(GOOD | {"gain": 129}),
        json.dumps(GOOD | {"tags": [["A b", "x"], ["}", ""]]}),
        json.dumps(GOOD | {"tags": [["A=", "x"]]}),
        json.dumps(GOOD | {"tags": [["~", "x"]]}),
        json.dumps(GOOD | {"tags": [["A", "x", "y"]]}),
        json.dumps(GOOD | {"tags": [["A", "\udc00"]]}),
        json.dumps(GOOD | {"tags": [["A", ""]] * 257}),
        json.dumps(GOOD)[:-1] + ', "nc": 2}',
        json.dumps(GOOD)[:-1] + ', "n\\u0063": 2}',
        json.dumps(GOOD)[:-1] + ', "x": {"a": 1, "a": 2}}',
        json.dumps(GOOD)[:-1] + ', "x": "\\"nc\\": [{", "y": ["a", "a"]}',
        json.dumps(GOOD)[:-1] + ', "rate": 1e3}',
        json.dumps(GOOD)[:-1] + "} x",
        "[1]",
        "",
    ],
    ids=range(34),
)
def test_headers_are_taken_or_refused_as_in_python(package: Package, text: str) -> None:
    json_bytes = text.encode()
    data = b"ECDC\x01" + len(json_bytes).to_bytes(4, "big") + json_bytes
    data += crc_of(data)
    try:
        parse_header(data)
    except BitstreamError:
        with pytest.raises(PackageError, match="invalid_file"):
            package.inspect(data, piece=100)
    else:
        package.inspect(data, piece=100)
