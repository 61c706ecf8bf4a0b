"""Runs an example of the documentation as a reader would, against a running service."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.docs.snippets import ROOT, Snippet

DEFAULT_URL = "http://127.0.0.1:8000"
"""The service of the examples."""
_NODE_MODULES = ROOT / "clients" / "page" / "node_modules"
_LIMIT = 100  # s


@dataclass(frozen=True)
class Reader:
    """Somebody who follows a page: a folder with recordings, and a service."""

    folder: Path
    url: str

    def run(self, snippet: Snippet) -> dict[str, Any]:
        """Run the example in the folder; of one in Python, the names it leaves. It fails where the
        example does, and skips where what it needs is not installed."""
        code = snippet.code.replace(DEFAULT_URL, self.url)
        if snippet.language == "python":
            names: dict[str, Any] = {"__name__": "__main__"}
            exec(compile(code, str(snippet), "exec"), names)
            return names
        if snippet.language == "bash":
            if "curl " in code:
                _program("curl")
            self.command(["bash", "-euo", "pipefail", "-c", code], str(snippet))
        elif snippet.language == "ts":
            self._in_node(code, str(snippet))
        else:
            self._in_chromium(code, str(snippet))
        return {}

    def command(self, command: list[str], name: str) -> None:
        """Run a command that must succeed; `name` is shown where it does not."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            check=False,
        )
        assert done.returncode == 0, f"{name}\n{done.stdout}{done.stderr}"

    def _environment(self) -> dict[str, str]:
        programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return {
            **os.environ,
            "PATH": programs,
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.folder),
            "ENCODEC_WEIGHTS": "bundled",
        }

    def _in_node(self, code: str, name: str) -> None:
        """As a module, with the package `encodec-client` of this checkout."""
        esbuild = _needed(_NODE_MODULES / ".bin" / "esbuild")
        (self.folder / "main.mts").write_text(code)
        client = ROOT / "clients" / "typescript" / "src" / "index.ts"
        options = ["--bundle", "--platform=node", "--format=esm", "--log-level=warning"]
        options += [f"--alias:encodec-client={client}", "--outfile=main.mjs"]
        self.command([esbuild, "main.mts", *options], name)
        self.command([_program("node"), "main.mjs"], name)

    def _in_chromium(self, code: str, name: str) -> None:
        """As the script of a page."""
        _needed(_NODE_MODULES / "playwright-core")
        (self.folder / "main.js").write_text(code)
        script = Path(__file__).with_name("in_chromium.mjs")
        self.command([_program("node"), str(script), _program("chromium"), self.url], name)


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not here")
    return found


def _needed(path: Path) -> str:
    if not path.exists():
        pytest.skip(f"npm ci has not run: there is no {path.relative_to(ROOT)}")
    return str(path)
