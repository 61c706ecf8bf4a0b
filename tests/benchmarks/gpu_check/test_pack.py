"""What travels to a GPU machine."""

import json
import tarfile
from pathlib import Path

from benchmarks.gpu_check.pack import FOLDER, PACKAGES, PACKAGES_FOLDER, TAKEN_ALONG, pack

_MOST = 30 * 2**20
"""Bytes; machines that are lent take about 60 MiB, and recordings may have to travel, too."""


def test_the_tree_travels_with_one_set_of_weights_that_its_index_names(tmp_path: Path) -> None:
    file = tmp_path / "packed.tar.gz"
    assert "MiB" in pack(file)
    assert file.stat().st_size < _MOST
    with tarfile.open(file) as archive:
        names = set(archive.getnames())
        index = archive.extractfile(f"{FOLDER}/model_core/weights/index.json")
        assert index is not None
        indexed = json.loads(index.read())
    weights = [name for name in names if name.endswith(".safetensors")]
    assert [Path(name).name for name in weights] == [indexed[TAKEN_ALONG]["model"]]
    assert list(indexed) == [TAKEN_ALONG]
    for path in (
        "scripts/gpu_check.sh",
        "benchmarks/gpu_check/command.py",
        "model_core/engine/cuda/engine.py",
        "service/scheduler.py",
        "tests/model_core/engine/test_cuda.py",
        "pyproject.toml",
    ):
        assert f"{FOLDER}/{path}" in names
    for package in PACKAGES:
        assert f"{FOLDER}/{PACKAGES_FOLDER}/{package}/__init__.py" in names
    assert not [name for name in names if ".venv" in name or "__pycache__" in name]
