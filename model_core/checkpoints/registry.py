"""Which weights there are and which to use: everything `ENCODEC_WEIGHTS` can say.

    bundled    the package's own         hf        the Hugging Face hub
    official   the published files       a folder  whatever lies in it
    auto       official if cached or downloadable, else bundled

Two questions are kept apart. `find` asks which weights to code with; `find_exact` asks for the
weights that a header names, wherever they lie.
"""

import logging
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from ..config import CONFIGS
from ..ecdc import ModelName
from ..errors import WeightsError, WeightsUnavailableError
from .folder import Folder
from .hub import HUB_CONFIG, cached_hub_folder, fetch_hub_folder, read_hub_config
from .published import OFFICIAL_URL, PublishedFiles
from .weight_set import LMSet, WeightSet, parse_known_name

logger = logging.getLogger(__name__)

PACKAGE_WEIGHTS = Path(__file__).parent.parent / "weights"
WORDS = ("auto", "bundled", "official", "hf")

_loaded_from: dict[Path, None] = {}  # in the order in which models came from them


class Registry:
    """The weights that one value of `ENCODEC_WEIGHTS` gives, and all others on this machine."""

    def __init__(
        self,
        weights: str | None = None,
        *,
        cache_dir: Path | None = None,
        official_url: str = OFFICIAL_URL,
        hub_endpoint: str | None = None,
        package: Path = PACKAGE_WEIGHTS,
        connect_seconds: float = 5.0,
        also: Iterable[Path] = (),
    ):
        """`weights` None reads `ENCODEC_WEIGHTS`; `cache_dir` None reads `ENCODEC_CACHE_DIR`.
        `also` are further folders for `find_exact`, searched again at every call.

        Raises `WeightsUnavailableError` where `weights` is neither a known word nor a folder.
        """
        self.weights = weights or os.environ.get("ENCODEC_WEIGHTS") or "auto"
        own_cache = cache_dir or _path_from("ENCODEC_CACHE_DIR")
        cache = cache_folder(own_cache)
        self._hub_cache = None if own_cache is None else own_cache / "huggingface"
        self._hub_endpoint = hub_endpoint
        self._official = PublishedFiles(cache, official_url, connect_seconds)
        self._package = Folder(package, "bundled")
        self._cache = Folder(cache, "folder")
        self._also = also
        self._folder: Folder | None = None
        if self.weights not in WORDS:
            path = _expanded(self.weights)
            try:
                is_folder = path.is_dir()
            except OSError as error:
                raise WeightsUnavailableError(f"{path}: {error.strerror}") from error
            if not is_folder:
                raise WeightsUnavailableError(
                    f"weights are {', '.join(WORDS)} or a folder; {self.weights!r} is none of them"
                )
            self._folder = Folder(path, "folder")

    def find(self, name: str) -> WeightSet:
        """The weights to code with for a plain model name; for a header name, exactly those.

        Downloads what it must. Raises `UnknownModelError`, `WeightsUnavailableError` and, for
        files that are wrong, `WeightsError`.
        """
        header = parse_known_name(name)
        if header.weights is not None:
            return self.find_exact(name)
        if self._folder is not None:
            return self._with_published_lm(_current(self._folder, header.name))
        if self.weights == "bundled":
            return _current(self._package, header.name)
        if self.weights == "hf":
            return self._from_hub(header.name)
        if self.weights == "official":
            return self._from_official(header.name)
        return self._auto(header.name)

    def find_exact(self, header_name: str) -> WeightSet:
        """The weights an `.ecdc` header names, from the package, the cache or a folder.

        A plain name means the published weights, never others; they are downloaded only where
        the weights in use are `official`, `hf` or `auto`. With `+<id>` the set's `lm` is that very
        language model. Raises `UnknownModelError`, `WeightsUnavailableError` and `WeightsError`.
        """
        header = parse_known_name(header_name)
        if header.weights is None:
            return self._published(header.name)
        for folder in self._folders():
            found = folder.by_id(header.name, header.weights)
            if found is not None:
                return found if header.lm is None else replace(found, lm=self._lm_by_id(header))
        raise WeightsUnavailableError(f"the weights of {header_name} are not available here")

    def fetch_lm(self, weights: WeightSet) -> LMSet:
        """The language model of these weights; the published one is downloaded if it is not here.

        Raises `WeightsUnavailableError` where there is none and `WeightsError` for a wrong file.
        """
        lm = weights.lm
        if lm is None:
            raise WeightsUnavailableError(f"{weights.header_name} has no language model here")
        published = self._official.lm(weights.name)
        if published is not None and lm.path == published.path:
            self._official.fetch(weights.name, "lm")
        return lm

    def _auto(self, name: str) -> WeightSet:
        try:
            if not self._official.is_cached(name, "model"):
                self._official.require_server()
            return self._from_official(name)
        except (WeightsUnavailableError, WeightsError) as error:
            reason = str(error)
        try:
            bundled = _current(self._package, name)
        except WeightsUnavailableError as error:
            raise WeightsUnavailableError(f"{error}, and {reason}") from error
        note = f"using the bundled weights of {name}, not the published ones: {reason}"
        logger.warning(note)
        return replace(bundled, note=note)

    def _from_official(self, name: str) -> WeightSet:
        path = self._official.fetch(name, "model")
        weights = WeightSet(CONFIGS[name], path, "official", "official", published=True)
        if self.weights in ("official", "auto"):
            return replace(weights, lm=self._official.lm(name))
        return self._with_published_lm(weights)

    def _from_hub(self, name: str) -> WeightSet:
        return self._hub_set(name, fetch_hub_folder(name, self._hub_cache, self._hub_endpoint))

    def _hub_set(self, name: str, folder: Path) -> WeightSet:
        if read_hub_config(folder) != CONFIGS[name]:
            raise WeightsError(f"{folder / HUB_CONFIG}: this is not the network of {name}")
        return self._with_published_lm(WeightSet(CONFIGS[name], folder, "hf", "hf", published=True))

    def _with_published_lm(self, weights: WeightSet) -> WeightSet:
        """Published weights from elsewhere go with the published LM too, if it is here."""
        if not weights.published or weights.lm or not self._official.is_cached(weights.name, "lm"):
            return weights
        return replace(weights, lm=self._official.lm(weights.name))

    def _published(self, name: str) -> WeightSet:
        for folder in self._own_folders():
            found = folder.published(name)
            if found is not None:
                return self._with_published_lm(found)
        if self._official.is_cached(name, "model"):
            return self._from_official(name)
        cached = cached_hub_folder(name, self._hub_cache)
        if cached is not None:
            return self._hub_set(name, cached)
        if self.weights == "hf":
            return self._from_hub(name)
        if self.weights == "auto":
            self._official.require_server()
        if self.weights in ("official", "auto"):
            return self._from_official(name)
        raise WeightsUnavailableError(f"the published weights of {name} are not available here")

    def _lm_by_id(self, header: ModelName) -> LMSet:
        for folder in self._folders():
            lm = folder.lm_by_id(header.name, str(header.lm))
            if lm is not None:
                return lm
        raise WeightsUnavailableError(f"the language model of {header} is not available here")

    def _folders(self) -> Iterator[Folder]:
        yield from self._own_folders()
        yield self._package
        yield self._cache

    def _own_folders(self) -> Iterator[Folder]:
        """Those that the user has named."""
        if self._folder is not None:
            yield self._folder
        for path in list(self._also):
            yield Folder(path, "folder")


def _current(folder: Folder, name: str) -> WeightSet:
    found = folder.current(name)
    if found is None:
        raise WeightsUnavailableError(f"{folder.path} holds no weights for {name}")
    return found


def shared_registry(weights: str | None = None) -> Registry:
    """The registry of a value of `ENCODEC_WEIGHTS` (None: the environment's), always the same one
    while the environment stays as it is. For a header it looks into every folder that `remember`
    was told of, too.

    Raises as `Registry`.
    """
    weights = weights or os.environ.get("ENCODEC_WEIGHTS") or "auto"
    return _shared(weights, _path_from("ENCODEC_CACHE_DIR"), _torch_hub_dir())


@lru_cache(maxsize=8)
def _shared(weights: str, cache_dir: Path | None, _hub_dir: str) -> Registry:
    return Registry(weights, cache_dir=cache_dir, also=_loaded_from.keys())


def remember(weights: WeightSet) -> None:
    """Let this process decode what is coded with `weights`, which may lie in a folder that
    `ENCODEC_WEIGHTS` does not name."""
    if weights.source == "folder":
        _loaded_from[Path(weights.origin)] = None


def cache_folder(own: Path | None) -> Path:
    """Where downloaded weights are kept: `own`, or the Torch Hub cache."""
    return own or Path(_torch_hub_dir()) / "checkpoints"


def _torch_hub_dir() -> str:
    """`torch.hub.get_dir()`, without importing torch where nothing else has."""
    hub = sys.modules.get("torch.hub")
    if hub is not None:
        return str(hub.get_dir())
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))  # noqa: PTH118  as torch does
    return os.path.join(os.path.expanduser(home), "hub")  # noqa: PTH111, PTH118


def _path_from(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return _expanded(value) if value else None


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:  # the home of an unknown user: then ~ is an ordinary character
        return Path(path)
