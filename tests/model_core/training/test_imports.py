"""Training runs on a machine that has torch, torchaudio, numpy, safetensors and tqdm alone."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
ENOUGH = {"torch", "torchaudio", "numpy", "safetensors", "tqdm"}
PROGRAM = """
import importlib, importlib.abc, pkgutil, sys

class Without(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in sys.argv[1:]:
            raise ImportError(f"there is no {name}")

sys.meta_path.insert(0, Without())
names = ["model_core.model", "model_core.nn.lm"]
for package in ("model_core.nn", "model_core.training"):
    path = importlib.import_module(package).__path__
    names += [package, *(part.name for part in pkgutil.walk_packages(path, package + "."))]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
sys.exit(importlib.import_module("model_core.training.cli").main(["carry", "pack", "x", "y"]))
"""


def others() -> set[str]:
    """Everything else that the project can use, by the names it is imported by."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["train"]]
    names = {re.split(r"[=<>~ ]", line)[0].replace("-", "_") for line in wanted}
    assert names >= ENOUGH
    return names - ENOUGH | {"starlette", "soundfile"}


def test_nothing_else_is_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *sorted(others())],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("encodec-train: x/state.pt"), done.stderr
