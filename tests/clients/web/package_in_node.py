"""The browser package in Node, as Python functions."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

NODE = shutil.which("node")
ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "service/web/encodec"
RELAXED = "--experimental-wasm-relaxed-simd"
"""Of Node 20; later ones have relaxed SIMD without it."""


class PackageError(Exception):
    """An `EncodecError` of the package."""

    def __init__(self, code: str, message: str):
        super().__init__(f"{code}: {message}")
        self.code = code


class Package:
    """The built package in a Node process that asks `service` for weights."""

    def __init__(self, process: subprocess.Popen[str], folder: Path):
        self._process = process
        self._folder = folder

    def ask(self, command: str, **request: Any) -> dict[str, Any]:
        """Raises `PackageError`."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"command": command, **request}) + "\n")
        stdin.flush()
        answer: dict[str, Any] = json.loads(stdout.readline())
        assert "unexpected" not in answer, answer["unexpected"]
        if "error" in answer and isinstance(answer["error"], dict):
            raise PackageError(answer["error"]["code"], answer["error"]["message"])
        return answer

    def decode(self, data: bytes, **options: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """Samples float32 `[C, n]`, and what else it says."""
        output = self._folder / "decoded"
        answer = self.ask("decode", input=self._file(data), output=str(output), **options)
        channels = answer["info"]["channels"]
        return np.fromfile(output, np.float32).reshape(channels, -1), answer

    def encode(self, samples: np.ndarray, model: str, piece: int = 0, **options: Any) -> bytes:
        """Samples float32 `[C, n]` to a file."""
        output = self._folder / "encoded"
        source = self._file(np.ascontiguousarray(samples, np.float32).tobytes())
        request = {"input": source, "output": str(output), "model": model, "piece": piece}
        self.ask("encode", channels=len(samples), options=options, **request)
        return output.read_bytes()

    def inspect(self, data: bytes, **options: Any) -> dict[str, Any]:
        return self.ask("inspect", input=self._file(data), **options)

    def _file(self, data: bytes) -> str:
        path = self._folder / "input"
        path.write_bytes(data)
        return str(path)


@contextmanager
def package_in_node(folder: Path, service: str, *flags: str) -> Iterator[Package]:
    """`folder` is for files that go between the two."""
    assert NODE is not None
    harness = Path(__file__).with_name("harness.mjs")
    with subprocess.Popen(
        [NODE, *flags, str(harness), str(PACKAGE), service],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Package(process, folder)
        finally:
            process.kill()
