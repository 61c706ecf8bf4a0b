"""A client in Go, generated from the OpenAPI document, compiles and compresses a file."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.service.live import Live
from tests.service.sounds import wav

ROOT = Path(__file__).parents[2]
MODULE = "github.com/GIT_USER_ID/GIT_REPO_ID"  # what the generator writes

pytestmark = pytest.mark.skipif(
    shutil.which("openapi-generator-cli") is None or shutil.which("go") is None,
    reason="openapi-generator-cli and go are not installed",
)


def test_the_generated_client_compresses_a_file(server: Live, tmp_path: Path) -> None:
    page = (ROOT / "clients" / "README.md").read_text()
    (command,) = re.findall(r"^openapi-generator-cli .*", page, re.MULTILINE)
    (example,) = re.findall(r"```go\n(.*?)```", page, re.DOTALL)
    (tmp_path / "openapi.json").write_bytes((ROOT / "openapi.json").read_bytes())
    (tmp_path / "speech.mp3").write_bytes(wav(1))
    _run(command.split(), tmp_path)
    package = tmp_path / "encodec"
    (package / "go.mod").write_text(f"module {MODULE}\n")
    main = package / "use" / "main.go"
    main.parent.mkdir()
    main.write_text(
        f'package main\n\nimport (\n"context"\n"fmt"\n"io"\n"os"\n\nencodec "{MODULE}"\n)\n\n'
        "func main() {\n"
        + example.replace("http://127.0.0.1:8000", server.url).replace(
            '"speech.mp3"', f'"{tmp_path}/speech.mp3"'
        )
        + "if err != nil { panic(err) }\n"
        "data, _ := io.ReadAll(file)\nfmt.Println(response.StatusCode, string(data[:4]))\n}\n"
    )
    assert _run(["go", "run", "./use"], package).stdout == "200 ECDC\n"


def _run(command: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr
    return done
