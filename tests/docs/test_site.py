"""The site is built without a warning and needs nothing from elsewhere.

Skipped without the extra `docs`.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLAYWRIGHT = ROOT / "clients" / "page" / "node_modules" / "playwright-core"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("zensical") is None, reason="the extra docs is not installed"
)


@pytest.fixture(scope="module")
def site() -> Path:
    """The site, built as `make docs` does."""
    done = subprocess.run(
        [sys.executable, "-m", "docs.site"],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert "Warning" not in output
    return ROOT / "build" / "site"


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text()
        loaded = re.findall(r"<(?:script|img|iframe|source)\b[^>]*?\bsrc=\"?([^\"\s>]+)", text)
        loaded += re.findall(r"<link\b[^>]*?\bhref=\"?([^\"\s>]+)", text)
        assert [url for url in loaded if re.match(r"(https?:)?//", url)] == [], page


def test_links_and_files_are_there(site: Path) -> None:
    for page in site.rglob("*.html"):
        if page.name == "404.html":  # its links begin at the root of a server
            continue
        for link in re.findall(r"\b(?:src|href)=\"?([^\"\s>#?]+)", page.read_text()):
            if not re.match(r"[a-z]+:|//", link):
                assert (page.parent / link).exists(), f"{page}: {link}"


def test_public_names_have_their_docstrings(site: Path) -> None:
    codec = (site / "reference/python/model-core.html").read_text()
    for name in ("model_core.compress.compress", "model_core.model.EncodecModel.encode"):
        assert f'id="{name}"' in codec
    assert "The language model made for this model" in codec


@pytest.mark.skipif(
    not (shutil.which("node") and shutil.which("chromium") and PLAYWRIGHT.is_dir()),
    reason="needs Node, Chromium and npm ci in clients/page",
)
def test_the_search_works_from_a_folder(site: Path) -> None:
    script = Path(__file__).with_name("search.mjs")
    command = ["node", str(script), str(shutil.which("chromium")), f"{site.as_uri()}/index.html"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "Damaged files" in done.stdout
