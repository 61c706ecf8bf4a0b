"""The built page in `service/web` is that of the sources in `clients/page`, small, and complete."""

import gzip
import hashlib
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
SOURCES = ROOT / "clients/page"
BUILT = ROOT / "service/web"
MOST_BYTES = 300_000


def sources_hash() -> str:
    """As `build.mjs` makes it."""
    names = ["build.mjs", "package-lock.json", "package.json", "tsconfig.json"]
    names.append("../typescript/src/keys.ts")
    names += [f"src/{path.name}" for path in (SOURCES / "src").iterdir()]
    found = hashlib.sha256()
    for name in sorted(names):
        found.update(f"{name}\n".encode() + (SOURCES / name).read_bytes() + b"\n")
    return found.hexdigest()


def built() -> list[Path]:
    """The page's files; those of the browser's decoder are in a folder of their own."""
    return [path for path in BUILT.iterdir() if path.is_file()]


def test_the_page_is_built_from_these_sources() -> None:
    build = json.loads((BUILT / "build.json").read_text())
    assert build["sources"] == sources_hash(), "run `npm ci && npm run build` in clients/page"


def test_every_file_has_the_hash_of_its_contents_in_its_name() -> None:
    for path in built():
        if path.name in ("index.html", "build.json"):
            continue
        found = re.fullmatch(r"[a-z-]+-([0-9a-f]{10})\.[a-z]+", path.name)
        assert found is not None
        assert hashlib.sha256(path.read_bytes()).hexdigest().startswith(found[1])


def test_every_file_is_used_and_every_one_used_is_there() -> None:
    texts = [path.read_text() for path in built() if path.suffix in (".html", ".js")]
    used = set(re.findall(r"web/([a-z-]+-[0-9a-f]{10}\.[a-z]+)", " ".join(texts)))
    assert used == {path.name for path in built()} - {"index.html", "build.json"}


def test_the_page_is_small() -> None:
    sizes = {path.name: len(gzip.compress(path.read_bytes())) for path in built()}
    assert sum(sizes.values()) < MOST_BYTES, sizes


def test_the_lock_file_names_no_registry() -> None:
    assert '"resolved"' not in (SOURCES / "package-lock.json").read_text()
