"""The published files: in the cache, or downloaded into it."""

import logging
from pathlib import Path

from ..errors import WeightsError, WeightsUnavailableError
from .files import read_bytes
from .names import OFFICIAL_FILES, Kind
from .read import reference_lm_config
from .sets import FileState, LMSet, file_state

logger = logging.getLogger(__name__)


class Official:
    """The published files under `url`, kept in `cache_dir`.

    The server is tried once: a process that has started without it goes on without it.
    """

    def __init__(self, cache_dir: Path, url: str, connect_seconds: float):
        self._cache_dir = cache_dir
        self._url = url
        self._connect_seconds = connect_seconds
        self._verified: set[FileState] = set()
        self._probed = False
        self._offline: str | None = None  # why the server cannot be reached

    def path(self, name: str, kind: Kind) -> Path:
        """Where the file is, or will be."""
        return self._cache_dir / OFFICIAL_FILES[name, kind]

    def lm(self, name: str) -> LMSet:
        """The published language model, whether it has been downloaded or not."""
        path = self.path(name, "lm")
        return LMSet(reference_lm_config(name), path, "reference", published=True)

    def is_cached(self, name: str, kind: Kind) -> bool:
        """Whether the file is in the cache and whole."""
        path = self.path(name, kind)
        if not path.is_file():
            return False
        state = file_state(path)
        if state not in self._verified:
            try:
                read_bytes(path)
            except WeightsError as error:
                logger.warning("not used: %s", error)
                return False
            self._verified.add(state)
        return True

    def probe(self, name: str) -> None:
        """Raises `WeightsUnavailableError` unless the server answers, now or when first asked."""
        if not self._probed:
            from .download import unreachable

            url = self._url + OFFICIAL_FILES[name, "model"]
            self._offline = unreachable(url, self._connect_seconds)
            self._probed = True
        if self._offline is not None:
            raise WeightsUnavailableError(f"{self._url} cannot be reached: {self._offline}")

    def fetch(self, name: str, kind: Kind) -> Path:
        """The file, downloaded where the cache does not hold it.

        Raises `WeightsUnavailableError` or, for a file that is not the right one, `WeightsError`.
        """
        path = self.path(name, kind)
        if self.is_cached(name, kind):
            return path
        from .download import Patience, fetch

        prefix = path.stem.rsplit("-", 1)[1]
        try:
            fetch(self._url + path.name, path, prefix, Patience(connect=self._connect_seconds))
        except OSError as error:
            raise WeightsUnavailableError(f"{path} cannot be written: {error}") from error
        return path
