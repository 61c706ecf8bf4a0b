"""Whether mkdocs.yml names every page. Zensical says nothing of pages that it does not name."""

import re
from pathlib import Path

from .tree import ROOT


def forgotten(folder: Path) -> list[str]:
    """What is wrong with the navigation of the site whose sources are in `folder`."""
    listed = set(re.findall(r"^ *- (?:.*: )?(\S+\.md)$", _navigation(), flags=re.MULTILINE))
    pages = {path.relative_to(folder).as_posix() for path in folder.rglob("*.md")}
    return [
        *(f"{page} is not in the navigation of mkdocs.yml" for page in sorted(pages - listed)),
        *(f"mkdocs.yml names {page}, which is not there" for page in sorted(listed - pages)),
    ]


def _navigation() -> str:
    return (ROOT / "mkdocs.yml").read_text().split("\nnav:\n")[1].split("\n\n")[0]
