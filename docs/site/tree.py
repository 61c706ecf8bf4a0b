"""Which files of the repository are pages or files of the site, and what changes on the way.

Pages are written for the repository, where their links and pictures work as they are. On the site
they lie elsewhere: links follow, a link to what only the repository has becomes plain text, and
drawings go into the page itself, so that they take the page's colours.
"""

import os
import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_PLACES = {
    "README.md": "readme.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "model_core/weights/README.md": "model-card.md",
    "clients/README.md": "clients/index.md",
    "clients/python/README.md": "clients/python.md",
    "clients/typescript/README.md": "clients/typescript.md",
    "clients/web/README.md": "clients/web.md",
    "openapi.json": "files/openapi.json",
    "constraints.txt": "files/constraints.txt",
    "docker/.env.example": "files/env.example",
    "docker-compose.yml": "files/docker-compose.yml",
    "benchmarks/results/epyc-2-cores.json": "files/epyc-2-cores.json",
    "benchmarks/results/epyc-2-cores.png": "files/epyc-2-cores.png",
}
"""Files outside docs/, and where they are on the site."""

_NOT_PAGES = {".py", ".pyc"}
_FENCE = re.compile(r"^ *(```+|~~~+).*?^ *\1", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^)\s]+)\)")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:")


def places() -> dict[Path, str]:
    """Every file of the repository that the site has, and its place there."""
    own = (file for file in sorted(DOCS.rglob("*")) if file.is_file())
    found = {
        file: file.relative_to(DOCS).as_posix() for file in own if file.suffix not in _NOT_PAGES
    }
    return found | {ROOT / name: place for name, place in _PLACES.items()}


def copy_to(folder: Path) -> None:
    """Write the site's pages and files into `folder`.

    Raises `FileNotFoundError` for a drawing that is not there.
    """
    known = places()
    for source, place in known.items():
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".md":
            target.write_text(moved(source.read_text(), source, known))
        else:
            shutil.copyfile(source, target)


def moved(text: str, source: Path, known: dict[Path, str]) -> str:
    """A page's text as it is on the site; code stays as it is."""
    done, end = [], 0
    for fence in _FENCE.finditer(text):
        done += [_prose(text[end : fence.start()], source, known), fence[0]]
        end = fence.end()
    return "".join([*done, _prose(text[end:], source, known)])


def _prose(text: str, source: Path, known: dict[Path, str]) -> str:
    def replaced(link: re.Match[str]) -> str:
        path, mark, anchor = link["target"].partition("#")
        if not path or _SCHEME.match(path):
            return link[0]
        file = (source.parent / path).resolve()
        if link["image"] and file.suffix == ".svg":
            return drawing(file, link["text"])
        place = known.get(file) or known.get(file / "README.md")
        if place is None and file.exists():
            return link["text"]
        if place is None:  # a page made from the code; or a mistake, which Zensical finds
            place = os.path.relpath(file, DOCS)
        there = os.path.relpath(place, Path(known[source]).parent)
        return f"{link['image']}[{link['text']}]({there}{mark}{anchor})"

    return _LINK.sub(replaced, text)


def drawing(file: Path, text: str) -> str:
    """The drawing as HTML, described by `text`."""
    svg = re.sub(r"<style>.*?</style>", "", file.read_text(), flags=re.DOTALL)  # site.css has it
    svg = re.sub(r"\n\s*\n", "\n", svg.strip())  # an empty line would end the HTML
    return f'<figure class="drawing" role="img" aria-label="{text}">\n{svg}\n</figure>'
