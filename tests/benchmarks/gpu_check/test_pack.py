"""The archive for a GPU machine: the tree, one set of weights, a few packages."""

import json
import tarfile
from pathlib import Path

from benchmarks.gpu_check.pack import FOLDER, PACKAGES, PACKAGES_FOLDER, ROOT, TAKEN_ALONG, pack

_MOST = 30 * 2**20
"""Bytes; such machines take about 60 MiB, and recordings may have to travel too."""


def test_the_archive_has_the_tree_one_set_of_weights_and_packages(tmp_path: Path) -> None:
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
    sources = [
        path.relative_to(ROOT)
        for folder in ("benchmarks", "model_core", "service", "tests", "scripts")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".cpp", ".h", ".sh")
    ]
    assert len(sources) > 200
    for path in (*sources, "pyproject.toml", "setup.py"):
        assert f"{FOLDER}/{path}" in names
    for package in PACKAGES:
        assert f"{FOLDER}/{PACKAGES_FOLDER}/{package}/__init__.py" in names
    assert not [name for name in names if ".venv" in name or "__pycache__" in name]
