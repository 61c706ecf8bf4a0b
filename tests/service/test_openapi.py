"""The document that is committed: always the same, and made without any model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service import openapi
from service.http.problems import PROBLEM_JSON, ProblemCode


def test_write_then_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "openapi.json"
    assert openapi.main(["--check", str(file)]) == 1
    assert openapi.main(["--write", str(file)]) == 0
    assert openapi.main(["--check", str(file)]) == 0
    file.write_text(file.read_text().replace("3.1", "3.0", 1))
    assert openapi.main(["--check", str(file)]) == 1
    assert "out of date" in capsys.readouterr().err


def test_it_does_not_depend_on_the_environment(tmp_path: Path) -> None:
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


def test_problems_stand_at_errors_only_and_nothing_else_does() -> None:
    document = json.loads(openapi.render())
    operations = [o for path in document["paths"].values() for o in path.values()]
    assert {"getLive", "getReady", "listModels", "getMetrics"} <= {
        operation["operationId"] for operation in operations
    }
    for operation in operations:
        for status, response in operation["responses"].items():
            kinds = list(response.get("content", {}))
            assert (kinds == [PROBLEM_JSON]) == (int(status) >= 400), operation["operationId"]
            assert "X-Request-ID" in response["headers"]
    schemas = document["components"]["schemas"]
    assert schemas["ProblemCode"]["enum"] == [str(code) for code in ProblemCode]
    assert "HTTPValidationError" not in schemas
