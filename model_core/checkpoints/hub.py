"""The published models on the Hugging Face hub: downloaded by its client, kept in its cache."""

from pathlib import Path

from huggingface_hub import hf_hub_download

from ..errors import WeightsUnavailableError
from .names import HUB_REPOSITORIES
from .read import HUB_CONFIG, HUB_TENSORS

CONNECT_SECONDS = 5


def cached(name: str, cache_dir: Path | None) -> Path | None:
    """The folder that holds the model `name`, if both of its files are in the cache."""
    try:
        return _folder(name, cache_dir, None, local=True)
    except OSError:  # the client's "not in the cache" is one
        return None


def fetch(name: str, cache_dir: Path | None, endpoint: str | None) -> Path:
    """The folder that holds the model `name`, from the cache or else from the hub.

    Raises `WeightsUnavailableError`.
    """
    folder = cached(name, cache_dir)
    if folder is not None:
        return folder
    try:
        return _folder(name, cache_dir, endpoint, local=False)
    except Exception as error:  # the client's own HTTP library fails in ways of its own
        cause = error.__cause__ or error  # the client says no more than that it has not worked
        reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        raise WeightsUnavailableError(
            f"{HUB_REPOSITORIES[name]} could not be downloaded from the Hugging Face hub: {reason}"
        ) from error


def _folder(name: str, cache_dir: Path | None, endpoint: str | None, *, local: bool) -> Path:
    files = [
        hf_hub_download(
            HUB_REPOSITORIES[name],
            file,
            cache_dir=cache_dir,
            endpoint=endpoint,
            etag_timeout=CONNECT_SECONDS,
            local_files_only=local,
        )
        for file in (HUB_CONFIG, HUB_TENSORS)
    ]
    return Path(files[0]).parent
