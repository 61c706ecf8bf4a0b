"""A folder of weights: which models lie in it, which language models, and which are current.

NAME-<hex>.th            reference state dict; hex begins the file's sha256
NAME-<id>.safetensors    ours; id of the tensors
config.json, model.safetensors    a Hugging Face model, here or in a subfolder NAME
index.json               which of several files is the current one
"""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from ..config import CONFIGS, LMConfig
from ..errors import WeightsError
from .config import (
    HUB_CONFIG,
    read_hub_config,
    read_own_config,
    read_own_lm,
    read_reference_config,
)
from .convert import HUB_TENSORS
from .files import read_bytes, read_json, replace_with
from .names import OFFICIAL_FILES, FileName, Kind, Layout, LMSet, Source, WeightSet

INDEX = "index.json"

logger = logging.getLogger(__name__)

IdOf = Callable[[Path, Layout], str]
"""The id of the weights in a file; slow the first time."""


class Folder:
    """The weights in one folder, found anew at every call (files may come and go)."""

    def __init__(self, path: Path, source: Source, id_of: IdOf):
        self.path = path
        self.source = source
        self._id_of = id_of

    def current(self, name: str) -> WeightSet | None:
        """The weights to use for `name`, with their language model; None if there are none.

        The index decides, then the published file's name, then there must be one only.
        Raises `WeightsError` where the choice is not clear or the file is wrong.
        """
        indexed = self._indexed(name, "model")
        if indexed is not None:
            return self._complete(self._describe(indexed, name))
        official = self.path / OFFICIAL_FILES[name, "model"]
        if official.is_file():
            return self._complete(self._describe(official, name))
        found = [*self._files(name, "model"), *self._hub_folders(name)]
        if len(found) > 1:
            files = ", ".join(path.name for path in found)
            raise WeightsError(f"{self.path}: several weights for {name} ({files}); keep one")
        return self._complete(self._describe(found[0], name)) if found else None

    def published(self, name: str) -> WeightSet | None:
        """The published weights of `name`, if they lie here."""
        path = self.path / OFFICIAL_FILES[name, "model"]
        return self._complete(self._describe(path, name)) if path.is_file() else None

    def by_id(self, name: str, weights_id: str) -> WeightSet | None:
        """The weights with that id, if they lie here. Files that cannot be read are passed by, and
        so is a language model that cannot, or that would have to be chosen among several."""
        for path in [*self._files(name, "model"), *self._hub_candidates(name)]:
            if not self._has_id(path, weights_id):
                continue
            described = replace(self._describe(path, name), id=weights_id)
            try:
                return self._complete(described)
            except WeightsError as error:
                logger.warning("%s without a language model: %s", path, error)
                return described
        return None

    def lm_by_id(self, name: str, lm_id: str) -> LMSet | None:
        """The language model with that id, if it lies here."""
        for path in self._files(name, "lm"):
            if self._has_id(path, lm_id):
                return replace(self._describe_lm(path, name), id=lm_id)
        return None

    def _has_id(self, path: Path, wanted: str) -> bool:
        named = FileName.parse(path.name)
        if named is not None and named.suffix == "safetensors":
            return named.hex == wanted
        try:
            return self._id_of(path, _layout(path)) == wanted
        except WeightsError as error:
            logger.warning("passed by: %s", error)
            return False

    def _describe(self, path: Path, name: str) -> WeightSet:
        layout = _layout(path)
        if layout == "hub":
            config, published = read_hub_config(path), False
        elif layout == "own":
            config, published = read_own_config(path), False
        else:
            published = path.name == OFFICIAL_FILES[name, "model"]
            config = CONFIGS[name] if published else read_reference_config(path, name)
        if config.name != name:
            raise WeightsError(f"{path}: these are weights for {config.name}, not {name}")
        origin = "bundled" if self.source == "bundled" else str(self.path.absolute())
        return WeightSet(config, path, layout, self.source, origin, published, _named_id(path))

    def _complete(self, weights: WeightSet) -> WeightSet:
        """With the ids that the header names need, and the language model."""
        if not weights.published and weights.id is None:
            weights = replace(weights, id=self._id_of(weights.path, weights.layout))
        lm = self._lm_of(weights)
        if lm is None:
            return weights
        if lm.published and weights.published:
            return replace(weights, lm=lm)
        lm = replace(lm, id=lm.id or self._id_of(lm.path, lm.layout))
        weights_id = weights.id or self._id_of(weights.path, weights.layout)
        return replace(weights, id=weights_id, lm=lm)

    def _lm_of(self, weights: WeightSet) -> LMSet | None:
        name = weights.name
        if self._indexed(name, "model") == weights.path:
            indexed = self._indexed(name, "lm")
            return None if indexed is None else self._describe_lm(indexed, name)
        official = self.path / OFFICIAL_FILES[name, "lm"]
        if weights.published and official.is_file():
            return self._describe_lm(official, name)
        lms = [self._describe_lm(path, name) for path in self._files(name, "lm")]
        made_for_it = [lm for lm in lms if lm.made_for == weights.header_name]
        # A .th does not say whose it is: it goes with the only model beside it.
        alone = len([*self._files(name, "model"), *self._hub_folders(name)]) == 1
        fitting = made_for_it or [lm for lm in lms if lm.made_for is None and alone]
        if len(fitting) > 1:
            files = ", ".join(lm.path.name for lm in fitting)
            raise WeightsError(f"{self.path}: several language models ({files}); keep one")
        return fitting[0] if fitting else None

    def _describe_lm(self, path: Path, name: str) -> LMSet:
        if _layout(path) == "reference":
            published = path.name == OFFICIAL_FILES[name, "lm"]
            return LMSet(LMConfig(name), path, "reference", published)
        config, made_for = read_own_lm(path)
        if config.name != name:
            raise WeightsError(f"{path}: a language model for {config.name}, not {name}")
        return LMSet(config, path, "own", id=_named_id(path), made_for=made_for)

    def _files(self, name: str, kind: Kind) -> Iterator[Path]:
        if not self.path.is_dir():
            return
        for path in sorted(self.path.iterdir()):
            named = FileName.parse(path.name)
            if named is not None and (named.name, named.kind) == (name, kind) and path.is_file():
                yield path

    def _hub_folders(self, name: str) -> Iterator[Path]:
        for path in self._hub_candidates(name):
            if path != self.path or read_hub_config(path).name == name:
                yield path

    def _hub_candidates(self, name: str) -> Iterator[Path]:
        """Unread: this folder itself may hold another model."""
        for path in (self.path / name, self.path):
            if (path / HUB_CONFIG).is_file() and (path / HUB_TENSORS).is_file():
                yield path

    def _indexed(self, name: str, kind: Kind) -> Path | None:
        index = self.path / INDEX
        if not index.is_file():
            return None
        entry = read_json(read_bytes(index), str(index)).get(name)
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
        if not (self.path / str(file)).is_file():
            raise WeightsError(f"{index}: it names {file}, which is not there")
        return self.path / str(file)


def _layout(path: Path) -> Layout:
    if path.is_dir():
        return "hub"
    return "reference" if path.suffix == ".th" else "own"


def _named_id(path: Path) -> str | None:
    """The id in the name of a file of ours; it is verified when the file is loaded."""
    named = FileName.parse(path.name)
    return named.hex if named is not None and named.suffix == "safetensors" else None


def write_index(folder: Path, chosen: dict[str, tuple[Path, Path | None]]) -> None:
    """Say which files in `folder` are the current ones: model name -> (model, LM or None).

    Other models' entries in an index that is there already are kept. Raises `WeightsError` for an
    index that cannot be read and for the name of no model.
    """
    path = folder / INDEX
    index = read_json(path.read_bytes(), str(path)) if path.exists() else {}
    for name, (model, lm) in chosen.items():
        if name not in CONFIGS:
            raise WeightsError(f"{path}: no model is called {name!r}")
        index[name] = {"model": model.name, "lm": None if lm is None else lm.name}
    with replace_with(path) as file:
        file.write((json.dumps(index, indent=2) + "\n").encode())
