"""How much disk the uploads take that are worked on."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

_DESCRIPTORS = Path("/proc/self/fd")
_DELETED = " (deleted)"


@dataclass(frozen=True)
class SpoolUse:
    """Of the folder for uploads; all in bytes."""

    used: int
    """In files of this process."""
    free: int
    """On its disk, for this user."""


def spool_use(folder: Path | None) -> SpoolUse:
    """Of `folder`, by default the system's temporary one. The files of uploads have no name: they
    are found by the descriptors of this process. Raises `OSError`."""
    folder = (folder or Path(tempfile.gettempdir())).resolve()
    sizes: dict[tuple[int, int], int] = {}
    for descriptor in _DESCRIPTORS.iterdir():
        try:
            target = descriptor.readlink()
            if target.parent != folder or not target.name.endswith(_DELETED):
                continue
            found = os.fstat(int(descriptor.name))
        except OSError:
            continue  # it was closed meanwhile
        sizes[found.st_dev, found.st_ino] = found.st_size  # most are open twice
    disk = os.statvfs(folder)
    return SpoolUse(sum(sizes.values()), disk.f_bavail * disk.f_frsize)
