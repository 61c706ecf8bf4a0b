"""The state of a run on disk: written whole or not at all, read without trusting it."""

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from ..checkpoints.files import replace_with
from ..errors import WeightsError

STATE = "state.pt"
_BROKEN = (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, LookupError, TypeError)
"""What `torch.load` raises for other files."""


def save_state(state: dict[str, Any], path: Path) -> None:
    """Write `state` atomically: `path` is always either the old state or the new one. Raises
    `WeightsError` and `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_with(path) as file:
        try:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        except RuntimeError as error:  # what torch makes of a full disk
            raise WeightsError(f"{path} cannot be written: {error}") from error


def load_state(path: Path) -> dict[str, Any]:
    """A state from `save_state`, on the CPU. Raises `WeightsError` for other files."""
    return _load(path, mapped=False)


def kind_of(path: Path) -> str:
    """The kind of run whose state is at `path`: "codec" or "lm".

    It does not read the tensors. Raises `WeightsError` for an invalid state.
    """
    return str(_load(path, mapped=True).get("kind", "codec"))


def recordings_of(path: Path) -> str | None:
    """The `origin` of the cache that the state at `path` was trained on; None in older states.

    It does not read the tensors. Raises `WeightsError` for an invalid state.
    """
    found = _load(path, mapped=True).get("recordings")
    return None if found is None else str(found)


def _load(path: Path, mapped: bool) -> dict[str, Any]:
    """The state; with `mapped`, its tensors are read on access."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error
    except _BROKEN as error:
        raise WeightsError(f"{path}: not the state of a training run, or cut off") from error
    if not isinstance(state, dict) or "step" not in state:
        raise WeightsError(f"{path}: not the state of a training run")
    return state
