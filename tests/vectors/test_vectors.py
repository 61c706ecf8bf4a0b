"""The committed files are read as their JSON says, and written again byte for byte."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from model_core.config import CONFIGS
from model_core.ecdc import BitUnpacker, read_header, read_scale, segments, v1
from tests.vectors.make import vectors

FOLDER = Path(__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.ecdc"))
VERSION_1 = [name for name in NAMES if name.startswith("v1")]
VERSION_0 = [name for name in NAMES if name.startswith("v0")]


def load(name: str) -> tuple[bytes, dict[str, Any]]:
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return (FOLDER / f"{name}.ecdc").read_bytes(), content


def test_they_are_written_again_byte_for_byte() -> None:
    made = {name: (data, content) for name, data, content in vectors()}
    assert sorted(made) == NAMES
    for name, (data, content) in made.items():
        assert (data, json.loads(json.dumps(content))) == load(name)


@pytest.mark.parametrize("name", VERSION_1)
def test_version_1(name: str) -> None:
    data, content = load(name)
    file = v1.ChunkFile(io.BytesIO(data))
    header, expected = file.header, content["header"]
    assert header.num_codebooks == expected.pop("codebooks")
    assert [list(tag) for tag in header.tags] == expected.pop("tags")
    assert {key: getattr(header, key) for key in expected} == expected
    summary = v1.verify(io.BytesIO(data))
    assert file.complete == summary.complete == content["complete"]
    assert file.samples == summary.samples == content["samples"]
    assert file.original_samples == summary.original_samples == content["original_samples"]
    assert len(file) == len(content["chunks"])
    for chunk, told in zip(file.chunks(), content["chunks"], strict=True):
        assert (chunk.number, chunk.start) == (told["number"], told["start"])
        assert (chunk.samples, list(chunk.scales)) == (told["samples"], told["scales"])
        assert file.layout.frames(chunk.samples) == told["frames"]
        if header.lm:
            assert chunk.codes.hex() == told["bytes"]
        else:
            codes = v1.unpack_codes(chunk.codes, header.num_codebooks, 10, told["frames"])
            assert codes.tolist() == told["codes"]


@pytest.mark.parametrize("name", VERSION_0)
def test_version_0(name: str) -> None:
    data, content = load(name)
    fo = io.BytesIO(data)
    header = read_header(fo)
    config = CONFIGS[header.model]
    expected = content["header"]
    assert (header.model, header.num_codebooks) == (expected["model"], expected["codebooks"])
    assert (header.lm, header.audio_length) == (False, content["samples"])
    found = list(segments(config, header.audio_length))
    for segment, told in zip(found, content["segments"], strict=True):
        assert (segment.offset, segment.samples) == (told["start"], told["samples"])
        assert (read_scale(fo) if config.normalize else None) == told["scale"]
        unpacker = BitUnpacker(10)
        count = segment.frames * header.num_codebooks
        unpacker.feed(fo.read(unpacker.missing(count)))
        assert unpacker.pull(count).reshape(segment.frames, -1).T.tolist() == told["codes"]
    assert fo.read() == b""
