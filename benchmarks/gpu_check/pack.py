"""An archive for a GPU machine: this tree without the large weights, and pure Python packages that
such machines rarely have."""

import importlib.util
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

PACKAGES = ("structlog", "encodec", "einops")
"""The service's queue needs the first; the second is the reference implementation, which needs the
third. The installed versions are packed."""


TAKEN_ALONG = "encodec_24khz"
"""The models whose bundled weights are packed, without their language model."""

FOLDER = "encodec-service"
PACKAGES_FOLDER = "packages"

_WEIGHTS = Path("model_core/weights")
_INDEX = _WEIGHTS / "index.json"
_NOT_OURS = {".venv", "runs", "build", "dist"}


def pack(file: Path, root: Path = ROOT) -> str:
    """Write the archive; returns a line about it."""
    missing = []
    index = _index(root)
    weights = {_WEIGHTS / name for entry in index.values() for name in entry.values()}
    with tarfile.open(file, "w:gz", compresslevel=6) as archive:
        for path in _files(root):
            if path == _INDEX:
                _add(archive, Path(FOLDER) / path, json.dumps(index).encode())
            elif path.suffix != ".safetensors" or path in weights:
                archive.add(root / path, Path(FOLDER) / path, recursive=False)
        for name in PACKAGES:
            modules = list(_modules(name))
            if not modules:
                missing.append(name)
            for source, path in modules:
                archive.add(source, Path(FOLDER) / PACKAGES_FOLDER / path, recursive=False)
    said = f"{file}: {file.stat().st_size / 2**20:.1f} MiB"
    return said + (f"; not installed here, so left out: {', '.join(missing)}" if missing else "")


def _index(root: Path) -> dict[str, dict[str, str]]:
    """An index of the packed weights: those of the 24 kHz model."""
    whole = json.loads((root / _INDEX).read_text())
    return {TAKEN_ALONG: {"model": whole[TAKEN_ALONG]["model"]}}


def _add(archive: tarfile.TarFile, path: Path, content: bytes) -> None:
    entry = tarfile.TarInfo(str(path))
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def _files(root: Path) -> list[Path]:
    """The files that git tracks or would add; without git, all but generated ones."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        said = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
        found = [Path(name) for name in said.stdout.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        found = [path.relative_to(root) for path in root.rglob("*")]
        found = [p for p in found if p.parts[0] not in _NOT_OURS and "__pycache__" not in p.parts]
    return sorted(p for p in found if (root / p).is_file() and not (root / p).is_symlink())


def _modules(name: str) -> Iterator[tuple[Path, Path]]:
    """The files of an installed package, and their places in the archive; none if not installed."""
    spec = importlib.util.find_spec(name)
    for place in (spec.submodule_search_locations if spec else None) or ():
        for source in sorted(Path(place).rglob("*.py")):
            yield source, Path(name) / source.relative_to(place)
