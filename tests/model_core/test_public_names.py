"""The names users import: they are all there, and what they should be however they are reached."""

import subprocess
import sys
from pathlib import Path

import pytest

import model_core

NAMES = {
    "Balancer",
    "EncodecError",
    "EncodecModel",
    "MultiScaleSTFTDiscriminator",
    "compress",
    "compress_to_file",
    "convert_audio",
    "decompress",
    "decompress_from_file",
    "distrib",
    "load_audio",
    "save_audio",
}


def test_the_public_names() -> None:
    assert set(model_core.__all__) == NAMES == set(dir(model_core))
    for name in NAMES:
        assert getattr(model_core, name) is not None
    with pytest.raises(AttributeError):
        model_core.nothing_of_the_kind  # noqa: B018


def test_compress_is_a_function_whatever_was_imported_first() -> None:
    """Each in a process of its own; all have torch already, which takes seconds."""
    firsts = [
        "from model_core import compress, decompress",
        "import model_core.compress",
        "from model_core.compress import MODELS, compress_to_file",
        "import model_core; model_core.decompress",
    ]
    code = """
import os, sys, torch
assert "model_core" not in sys.modules
for first in sys.argv[1:]:
    child = os.fork()
    if not child:
        exec(first)
        import model_core
        assert callable(model_core.compress)
        print("fine", flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, first
"""
    done = subprocess.run(
        [sys.executable, "-c", code, *firsts], capture_output=True, text=True, check=False
    )
    assert done.stdout == 4 * "fine\n", done.stderr


def test_networks_need_torch_alone() -> None:
    """On a bare GPU machine there is neither FFmpeg nor an HTTP client."""
    missing = ["av", "httpx", "huggingface_hub", "pydantic", "fastapi", "structlog"]
    code = (
        f"import sys\nfor name in {missing}: sys.modules[name] = None\n"
        "import model_core.engine, model_core.nn.lm, model_core.model, model_core.training.cli\n"
        "print('fine')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout == "fine\n", done.stderr
