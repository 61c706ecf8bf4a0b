"""Nothing in the site is fetched from elsewhere.

Where the site is opened from a folder, browsers refuse workers, and so the search. Zensical has
each page fetch a shim for that (iframe-worker) from another host. docs/vendor has the same file.
"""

import os
import re
from pathlib import Path

_ELSEWHERE = re.compile(r"https://[^\"\s]*/iframe-worker/shim")
_SHIM = "vendor/iframe-worker.js"


def keep_here(site: Path) -> None:
    """Have all pages of the built site take the shim from the site."""
    for page in site.rglob("*.html"):
        shim = os.path.relpath(site / _SHIM, page.parent)
        page.write_text(_ELSEWHERE.sub(shim, page.read_text()))
