"""Builds the documentation as a site: python -m docs.site

Pages come from docs/, README and the like (`tree`), the reference from the code (`http`, `commands`,
`settings`, `python`). They are put together in build/docs, from which Zensical makes build/site.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from . import commands, http, python, settings, tree

BUILD = tree.ROOT / "build"


def assemble(folder: Path) -> None:
    """Write the sources of the whole site into `folder`, in place of what is there."""
    shutil.rmtree(folder, ignore_errors=True)
    tree.copy_to(folder)
    pages = {"http": http.page(), "encodec-serve": settings.page()}
    pages |= {name: commands.page(name) for name in commands.PARSERS}
    pages |= {f"python/{name}": python.page(name) for name in python.PACKAGES}
    for name, text in pages.items():
        target = folder / "reference" / f"{name}.md"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def main() -> int:
    """Zensical's exit status: not 0 where there is a warning."""
    assemble(BUILD / "docs")
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    return subprocess.run(command, cwd=tree.ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
