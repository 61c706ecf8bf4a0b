"""The published weights: Meta's files and the Hugging Face hub's, in a cache or downloaded into it.

What downloads them (httpx, the hub's client) is imported when it is called: a machine that has
neither can still train, and code with the bundled weights.
"""

import logging
from pathlib import Path

from ..config import LMConfig
from ..errors import WeightsError, WeightsUnavailableError
from .config import HUB_CONFIG
from .convert import HUB_TENSORS
from .files import read_bytes
from .names import HUB_REPOSITORIES, OFFICIAL_FILES, FileState, Kind, LMSet, file_state

logger = logging.getLogger(__name__)

_HUB_CONNECT_SECONDS = 5


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
        return LMSet(LMConfig(name), self.path(name, "lm"), "reference", published=True)

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


def cached_hub_folder(name: str, cache_dir: Path | None) -> Path | None:
    """The folder that holds the model `name`, if both of its files are in the hub's cache."""
    try:
        return _hub_folder(name, cache_dir, None, local=True)
    except OSError:  # the client's "not in the cache" is one
        return None


def fetch_hub_folder(name: str, cache_dir: Path | None, endpoint: str | None) -> Path:
    """The folder that holds the model `name`, from the cache or else from the hub.

    Raises `WeightsUnavailableError`.
    """
    folder = cached_hub_folder(name, cache_dir)
    if folder is not None:
        return folder
    try:
        return _hub_folder(name, cache_dir, endpoint, local=False)
    except Exception as error:  # the client's own HTTP library fails in ways of its own
        cause = error.__cause__ or error  # the client says only that it failed
        reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        raise WeightsUnavailableError(
            f"{HUB_REPOSITORIES[name]} could not be downloaded from the Hugging Face hub: {reason}"
        ) from error


def _hub_folder(name: str, cache_dir: Path | None, endpoint: str | None, *, local: bool) -> Path:
    from huggingface_hub import hf_hub_download

    files = [
        hf_hub_download(
            HUB_REPOSITORIES[name],
            file,
            cache_dir=cache_dir,
            endpoint=endpoint,
            etag_timeout=_HUB_CONNECT_SECONDS,
            local_files_only=local,
        )
        for file in (HUB_CONFIG, HUB_TENSORS)
    ]
    return Path(files[0]).parent
