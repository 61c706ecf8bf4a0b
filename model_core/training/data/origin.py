"""A hash of the recordings that a cache was made from."""

import hashlib
import json
from collections.abc import Sequence

from ...config import ModelConfig
from .listing import Listed


def origin_of(listed: Sequence[Listed], config: ModelConfig) -> str:
    """16 hex digits over the files, their metadata, and the format that they are decoded to.

    A file counts by its name in the cache, its size and its modification time, not by its folder:
    recordings that are moved, or copied with their times, stay the same.
    """
    sha = hashlib.sha256(json.dumps([config.sample_rate, config.channels]).encode())
    for entry in listed:
        try:
            status = entry.path.stat()
            found = [status.st_size, status.st_mtime_ns]
        except OSError:  # named in a manifest only
            found = []
        known = [entry.name, entry.category, entry.keys, entry.split]
        sha.update(json.dumps([*known, *found]).encode())
    return sha.hexdigest()[:16]
