"""Builds the documentation as a site: python -m docs.site

Pages come from docs/, README and the like (`tree`), the reference from the code (`reference`). They
are put together in build/docs, from which Zensical makes build/site. A warning is a failure.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from . import navigation, offline, reference, tree

BUILD = tree.ROOT / "build"


def assemble(folder: Path) -> None:
    """Write the sources of the whole site into `folder`, in place of what is there."""
    shutil.rmtree(folder, ignore_errors=True)
    tree.copy_to(folder)
    for place, page in reference.PAGES.items():
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page())


def main() -> int:
    """The exit status: not 0 where there is a warning."""
    assemble(BUILD / "docs")
    if problems := navigation.forgotten(BUILD / "docs"):
        sys.stderr.write("\n".join(problems) + "\n")
        return 1
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(command, cwd=tree.ROOT, check=False)
    if done.returncode == 0:
        offline.keep_here(BUILD / "site")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
