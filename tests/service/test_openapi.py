"""The command that writes the OpenAPI document, always the same, without any model."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service import openapi


def test_check_fails_where_the_file_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "openapi.json"
    assert openapi.main(["--check", str(file)]) == 1
    assert openapi.main(["--write", str(file)]) == 0
    assert openapi.main(["--check", str(file)]) == 0
    file.write_text(file.read_text().replace("3.1", "3.0", 1))
    assert openapi.main(["--check", str(file)]) == 1
    assert "out of date" in capsys.readouterr().err


def test_the_document_does_not_depend_on_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "openapi.json"
    strange = {
        "ENCODEC_MODELS": "encodec_48khz",
        "ENCODEC_WEIGHTS": str(tmp_path / "nothing"),
        "ENCODEC_API_KEYS": "key",
        "ENCODEC_DEVICE": "cuda:9",
        "ENCODEC_PORT": "not a port",
        "PYTHONHASHSEED": "5",
    }
    command = [sys.executable, "-m", "service.openapi", "--write", str(file)]
    subprocess.run(command, check=True, env={**os.environ, **strange})
    assert file.read_text(encoding="utf-8") == openapi.render()
