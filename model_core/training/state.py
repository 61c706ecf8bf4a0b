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
"""What `torch.load` raises for a file that is something else."""


def save_state(state: dict[str, Any], path: Path) -> None:
    """Write `state` so that `path` is at every moment the old state or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_with(path) as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())


def load_state(path: Path) -> dict[str, Any]:
    """What `save_state` wrote, on the CPU. Raises `WeightsError` for anything else."""
    return _load(path, mapped=False)


def kind_of(path: Path) -> str:
    """What kind of run the state at `path` is of: "codec" or "lm".

    The tensors stay on the disk. Raises `WeightsError` for what is no state.
    """
    return str(_load(path, mapped=True).get("kind", "codec"))


def recordings_of(path: Path) -> str | None:
    """The `origin` of the cache that the state at `path` was trained on; None in older states.

    The tensors stay on the disk. Raises `WeightsError` for what is no state.
    """
    found = _load(path, mapped=True).get("recordings")
    return None if found is None else str(found)


def _load(path: Path, mapped: bool) -> dict[str, Any]:
    """The state; with `mapped`, its tensors are read when they are looked at."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error
    except _BROKEN as error:
        raise WeightsError(f"{path}: not the state of a training run, or cut off") from error
    if not isinstance(state, dict) or "step" not in state:
        raise WeightsError(f"{path}: not the state of a training run")
    return state
