"""A folder of weights: which models lie in it, which language models, and which are current.

NAME-<hex>.th            reference state dict; hex begins the file's sha256
NAME-<id>.safetensors    ours; id of the tensors
config.json, model.safetensors    a Hugging Face model, here or in a subfolder NAME
index.json               which of several files is the current one
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from ..config import CONFIGS, LMConfig
from ..errors import WeightsError
from .files import is_file, read_bytes, read_json, replace_with
from .hub import HUB_CONFIG, HUB_TENSORS, read_hub_config
from .read import id_of, named_id, read_config, read_own_lm
from .weight_set import PUBLISHED_FILES, FileName, Kind, LMSet, Source, WeightSet

INDEX = "index.json"

logger = logging.getLogger(__name__)

Found = TypeVar("Found", WeightSet, LMSet)


class Folder:
    """The weights in one folder, found anew at every call (files may come and go)."""

    def __init__(self, path: Path, source: Source):
        self.path = path
        self.source = source

    def current(self, name: str) -> WeightSet | None:
        """The weights to use for `name`, with their language model; None if there are none.

        The index decides, then the published file's name, then there must be one only.
        Raises `WeightsError` where the choice is not clear or the file is wrong.
        """
        chosen = self._indexed(name, "model") or self._published_file(name, "model")
        if chosen is None:
            found = self._models(name)
            if len(found) > 1:
                files = ", ".join(path.name for path in found)
                raise WeightsError(f"{self.path}: several weights for {name} ({files}); keep one")
            if not found:
                return None
            chosen = found[0]
        return self._with_lm(self._describe(chosen, name))

    def published(self, name: str) -> WeightSet | None:
        """The published weights of `name`, if they lie here."""
        path = self._published_file(name, "model")
        return None if path is None else self._with_lm(self._describe(path, name))

    def by_id(self, name: str, weights_id: str) -> WeightSet | None:
        """The weights with that id, if they lie here. Files that cannot be read are passed by, and
        so is a language model that cannot, or that would have to be chosen among several."""
        paths = [*self._all_files(name, "model"), *self._hub_folders(name)]
        weights = _with_id(paths, weights_id, lambda path: self._describe(path, name))
        if weights is None:
            return None
        try:
            return self._with_lm(weights)
        except WeightsError as error:
            logger.warning("%s without a language model: %s", weights.path, error)
            return weights

    def lm_by_id(self, name: str, lm_id: str) -> LMSet | None:
        """The language model with that id, if it lies here."""
        paths = self._all_files(name, "lm")
        return _with_id(paths, lm_id, lambda path: self._describe_lm(path, name))

    def _describe(self, path: Path, name: str) -> WeightSet:
        published = path == self._published_file(name, "model")
        return WeightSet(
            CONFIGS[name] if published else read_config(path, name),
            path,
            self.source,
            origin="bundled" if self.source == "bundled" else str(self.path.absolute()),
            published=published,
            id=None if published else id_of(path),
        )

    def _describe_lm(self, path: Path, name: str) -> LMSet:
        if path.suffix == ".th":
            return LMSet(LMConfig(name), path, path == self._published_file(name, "lm"))
        config, made_for = read_own_lm(path)
        if config.name != name:
            raise WeightsError(f"{path}: a language model for {config.name}, not {name}")
        return LMSet(config, path, id=named_id(path), made_for=made_for)

    def _with_lm(self, weights: WeightSet) -> WeightSet:
        """With the language model, where there is one, and the ids that their names then need."""
        lm = self._lm_of(weights)
        if lm is None:
            return weights
        if lm.published and weights.published:
            return replace(weights, lm=lm)
        lm = replace(lm, id=lm.id or id_of(lm.path))
        return replace(weights, id=weights.id or id_of(weights.path), lm=lm)

    def _lm_of(self, weights: WeightSet) -> LMSet | None:
        name = weights.name
        if self._indexed(name, "model") == weights.path:
            indexed = self._indexed(name, "lm")
            return None if indexed is None else self._describe_lm(indexed, name)
        published = self._published_file(name, "lm")
        if weights.published and published is not None:
            return self._describe_lm(published, name)
        lms = [self._describe_lm(path, name) for path in self._files(name, "lm")]
        fitting = [lm for lm in lms if lm.made_for == weights.header_name]
        if not fitting and len(self._models(name)) == 1:
            # A .th does not say whose it is: it goes with the only model beside it.
            fitting = [lm for lm in lms if lm.made_for is None]
        if len(fitting) > 1:
            files = ", ".join(lm.path.name for lm in fitting)
            raise WeightsError(f"{self.path}: several language models ({files}); keep one")
        return fitting[0] if fitting else None

    def _published_file(self, name: str, kind: Kind) -> Path | None:
        file = PUBLISHED_FILES.get((name, kind))
        return self.path / file if file and is_file(self.path / file) else None

    def _models(self, name: str) -> list[Path]:
        hub = [
            path
            for path in self._hub_folders(name)
            if path != self.path or read_hub_config(path).name == name
        ]
        return [*self._files(name, "model"), *hub]

    def _files(self, name: str, kind: Kind) -> Iterator[Path]:
        try:
            paths = sorted(self.path.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise WeightsError(f"{self.path}: cannot be read: {error.strerror}") from error
        for path in paths:
            named = FileName.parse(path.name)
            if named is not None and (named.name, named.kind) == (name, kind) and is_file(path):
                yield path

    def _all_files(self, name: str, kind: Kind) -> list[Path]:
        """As `_files`; none of a folder that cannot be read."""
        try:
            return list(self._files(name, kind))
        except WeightsError as error:
            logger.warning("passed by: %s", error)
            return []

    def _hub_folders(self, name: str) -> Iterator[Path]:
        """Unread: this folder itself may hold another model."""
        for path in (self.path / name, self.path):
            if is_file(path / HUB_CONFIG) and is_file(path / HUB_TENSORS):
                yield path

    def _indexed(self, name: str, kind: Kind) -> Path | None:
        index = self.path / INDEX
        if not is_file(index):
            return None
        entry = read_json(read_bytes(index), index).get(name)
        if entry is None:
            return None
        if not isinstance(entry, dict):
            raise WeightsError(
                f'{index}: what it says of {name} is not an object {{"model": …, "lm": …}}'
            )
        file = entry.get(kind)
        if file is None and kind == "lm":
            return None
        named = FileName.parse(file) if isinstance(file, str) else None
        if named is None or (named.name, named.kind) != (name, kind):
            raise WeightsError(f"{index}: {file!r} is no file name for {name}, {kind}")
        if not is_file(self.path / str(file)):
            raise WeightsError(f"{index}: it names {file}, which is not there")
        return self.path / str(file)


def _with_id(paths: Iterable[Path], wanted: str, describe: Callable[[Path], Found]) -> Found | None:
    """The first of `paths` with that id, described. Those that cannot be read are passed by."""
    for path in paths:
        try:
            if id_of(path) == wanted:
                return replace(describe(path), id=wanted)
        except WeightsError as error:
            logger.warning("passed by: %s", error)
    return None


def write_index(folder: Path, chosen: dict[str, tuple[Path, Path | None]]) -> None:
    """Say which files in `folder` are the current ones: model name -> (model, LM or None).

    Other models' entries in an index that is there already are kept. Raises `WeightsError` for an
    index that cannot be read and for the name of no model.
    """
    path = folder / INDEX
    index = read_json(path.read_bytes(), path) if path.exists() else {}
    for name, (model, lm) in chosen.items():
        if name not in CONFIGS:
            raise WeightsError(f"{path}: no model is called {name!r}")
        index[name] = {"model": model.name, "lm": None if lm is None else lm.name}
    with replace_with(path) as file:
        file.write((json.dumps(index, indent=2) + "\n").encode())
