"""docs/format.md says what the code does."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from model_core.ecdc import header as version_0
from model_core.ecdc.v1 import header, metadata
from model_core.ecdc.v1.varint import varint

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "format.md").read_text()
VECTORS = ROOT / "tests" / "vectors"


def block(kind: str) -> str:
    found = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def test_the_example_is_the_vector() -> None:
    lines = [re.split(r" {3,}", line)[0] for line in block("hex").splitlines()]
    assert bytes.fromhex("".join(lines)) == (VECTORS / "v1-mono.ecdc").read_bytes()


@pytest.mark.skipif(shutil.which("file") is None, reason="file(1) is not installed")
def test_the_magic_is_understood_by_file(tmp_path: Path) -> None:
    magic = tmp_path / "magic"
    magic.write_text(block("magic"))

    def asked(*options: str) -> str:
        command = ["file", "-b", "-m", str(magic), *options]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert asked(str(VECTORS / "v1-mono.ecdc")) == "EnCodec audio, version 1, 24 kHz mono"
    assert asked(str(VECTORS / "v0-stereo.ecdc")) == "EnCodec audio, version 0, 48 kHz stereo"
    assert asked("--mime-type", str(VECTORS / "v1-stereo.ecdc")) == "audio/x-encodec"
    assert asked("--extension", str(VECTORS / "v0-mono.ecdc")) == "ecdc"


def test_limits() -> None:
    assert version_0.MAX_META_BYTES == 65_536
    assert f"at most {version_0.MAX_META_BYTES:,}" in PAGE
    assert f"1 to {header.MAX_CHUNK_FRAMES:,}. 48 kHz: segments, 1 to 60" in PAGE
    assert f"at most {header.MAX_LM_CHUNK_FRAMES:,} frames, 6 segments" in PAGE
    assert f"1 to {header.MAX_LM}:" in PAGE
    assert f"1 to {metadata.MAX_RATE:,}" in PAGE
    assert f"1 to {metadata.MAX_CHANNELS:,}" in PAGE
    assert f"1 to {metadata.MAX_NAME_BYTES} bytes" in PAGE
    assert f"-{metadata.MAX_GAIN} to {metadata.MAX_GAIN}" in PAGE
    assert f"at most {metadata.MAX_TAGS} arrays" in PAGE
    assert f"1 to {metadata.MAX_KEY_LENGTH} characters" in PAGE


def test_small_examples() -> None:
    assert "300 is `ac 02`" in PAGE
    assert varint(300) == bytes.fromhex("ac 02")
