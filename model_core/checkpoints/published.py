"""Meta's published files, in a cache or downloaded into it.

The downloads' HTTP client is imported when it is needed: a machine without one can still train,
and code with the bundled weights.
"""

import logging
from functools import cached_property, lru_cache
from pathlib import Path

from ..config import LMConfig
from ..errors import WeightsError, WeightsUnavailableError
from .files import is_file, read_bytes
from .read import FileState, file_state
from .weight_set import PUBLISHED_FILES, Kind, LMSet

OFFICIAL_URL = "https://dl.fbaipublicfiles.com/encodec/v0/"

logger = logging.getLogger(__name__)


class PublishedFiles:
    """The files under `url`, kept in `cache_dir`.

    The server is tried once: a process that has started without it goes on without it.
    """

    def __init__(self, cache_dir: Path, url: str, connect_seconds: float):
        self._cache_dir = cache_dir
        self._url = url
        self._connect_seconds = connect_seconds

    def lm(self, name: str) -> LMSet | None:
        """The language model, whether it has been downloaded or not; None if none is published."""
        path = self._path(name, "lm")
        return None if path is None else LMSet(LMConfig(name), path, published=True)

    def is_cached(self, name: str, kind: Kind) -> bool:
        """Whether the file is in the cache and whole."""
        path = self._path(name, kind)
        if path is None or not is_file(path):
            return False
        try:
            _verify(file_state(path))
        except WeightsError as error:
            logger.warning("not used: %s", error)
            return False
        return True

    def require_server(self) -> None:
        """Raises `WeightsUnavailableError` unless the server answers, now or when first asked."""
        if self._offline is not None:
            raise WeightsUnavailableError(f"{self._url} cannot be reached: {self._offline}")

    @cached_property
    def _offline(self) -> str | None:
        """Why the server cannot be reached."""
        from .download import unreachable

        any_file = next(iter(PUBLISHED_FILES.values()))
        return unreachable(self._url + any_file, self._connect_seconds)

    def fetch(self, name: str, kind: Kind) -> Path:
        """The file, downloaded where the cache does not hold it.

        Raises `WeightsUnavailableError` or, for a file that is not the right one, `WeightsError`.
        """
        path = self._path(name, kind)
        if path is None:
            raise WeightsUnavailableError(f"no weights of {name} have been published")
        if self.is_cached(name, kind):
            return path
        from .download import Patience, fetch

        prefix = path.stem.rsplit("-", 1)[1]
        try:
            fetch(self._url + path.name, path, prefix, Patience(connect=self._connect_seconds))
        except OSError as error:
            raise WeightsUnavailableError(f"{path} cannot be written: {error}") from error
        return path

    def _path(self, name: str, kind: Kind) -> Path | None:
        file = PUBLISHED_FILES.get((name, kind))
        return None if file is None else self._cache_dir / file


@lru_cache(maxsize=64)
def _verify(state: FileState) -> None:
    """Raises `WeightsError` where the file is not whole; checked once while it stays as it is."""
    read_bytes(state[0])
