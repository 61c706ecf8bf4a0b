"""What a cache was made of, in a few digits that change when its recordings do."""

import hashlib
import json
from collections.abc import Sequence

from ...config import ModelConfig
from .listing import Listed


def origin_of(listed: Sequence[Listed], config: ModelConfig) -> str:
    """16 hex digits over the files, what is known of each, and what they are decoded to.

    Of a file count its name in the cache, its size and the time of its last change, not the folder
    that it is in: recordings that are moved, or copied with their times, stay the same.
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
