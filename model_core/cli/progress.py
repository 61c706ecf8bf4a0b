"""A bar on a terminal; nothing anywhere else."""

import sys
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm


def progress(doing: str, source: str, total: float, unit: str) -> "tqdm[NoReturn]":
    """A bar from 0 to `total`, shown where stderr is a terminal and removed at the end."""
    return tqdm(
        desc=f"{doing} {Path(source).name}",
        total=total,
        unit=unit,
        unit_scale=True,
        leave=False,
        file=sys.stderr,
        disable=sys.stderr is None or not sys.stderr.isatty(),
    )
