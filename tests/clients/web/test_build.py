"""What the service ships was built from today's sources."""

import hashlib
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "service/web/encodec"


def hash_of(*folders: tuple[str, str]) -> str:
    """As `clients/web/build.mjs` makes it."""
    named = {
        path.relative_to(ROOT).as_posix(): path
        for folder, pattern in folders
        for path in (ROOT / folder).rglob("*")
        if re.search(pattern, path.name)
    }
    whole = hashlib.sha256()
    for name in sorted(named):
        whole.update(f"{name}\0".encode() + hashlib.sha256(named[name].read_bytes()).digest())
    return whole.hexdigest()


def test_the_build_is_of_these_sources() -> None:
    recorded = json.loads((SHIPPED / "build.json").read_text())
    engine = hash_of(
        ("model_core/engine/native/csrc", r"\.(h|cpp)$"), ("clients/web/wasm", r"\.cpp$")
    )
    assert recorded == {"engine": engine, "script": hash_of(("clients/web/src", r"\.ts$"))}, (
        "run `make web`"
    )


def test_all_files_are_there_and_small() -> None:
    sizes = {path.name: path.stat().st_size for path in SHIPPED.iterdir()}
    script = {"core.js", "index.js", "worker.js", "worklet.js"}
    assert set(sizes) == {*script, "build.json", "engine.wasm", "engine-relaxed.wasm"}
    assert sum(sizes[name] for name in script) < 64_000
    assert max(sizes["engine.wasm"], sizes["engine-relaxed.wasm"]) < 300_000
