"""Reading weights from files: `.th` and `.safetensors`, never running code from them.

Everything wrong with a file is a `WeightsError` that names it.
"""

import hashlib
import io
import json
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_safetensors
from torch import Tensor

from ..errors import WeightsError
from .digest import State, is_statistic
from .names import FileName

FORMAT = "encodec-service"
_NAMED = 3  # how many wrong keys a message names

# What unpickling bytes that are no checkpoint can end in.
_UNPICKLING_ERRORS = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
)


def read_bytes(path: Path) -> bytes:
    """The file's bytes. For `NAME-<hex>.th` the hex must begin their sha256."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from error
    name = FileName.parse(path.name)
    if name is not None and name.suffix == "th":
        check_sha256(hashlib.sha256(data).hexdigest(), name.hex, path)
    return data


def check_sha256(digest: str, prefix: str, path: Path) -> None:
    """Raises `WeightsError` where the hex `digest` does not begin with `prefix`."""
    if not digest.startswith(prefix):
        raise WeightsError(
            f"{path}: wrong checksum: its sha256 begins with {digest[: len(prefix)]}, not {prefix}"
        )


def read_reference(path: Path) -> dict[str, Tensor]:
    """The state dict in a `.th` file, loaded with `weights_only=True`.

    Also takes one wrapped as the reference's trainers save it, under `best_state` or
    `state_dict`.
    """
    data = read_bytes(path)
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except _UNPICKLING_ERRORS as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{path}: not a file of plain tensors: {reason[:200]}") from error
    for key in ("best_state", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: holds a {type(content).__name__}, not a state dict")
    return float_tensors(content, path)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file, as float32."""
    try:
        tensors = load_safetensors(read_bytes(path))
    except SafetensorError as error:
        raise WeightsError(f"{path}: not a safetensors file: {error}") from error
    return float_tensors(tensors, path)


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a `.safetensors` file; only its header is read."""
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a safetensors file: {error}") from error


def read_json(text: str | bytes, where: str) -> dict[str, Any]:
    """A JSON object. Raises `WeightsError` naming the file `where`."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{where}: not JSON: {error}") from error
    if not isinstance(data, dict):
        raise WeightsError(f"{where}: not a JSON object")
    return data


def float_tensors(content: Mapping[Any, Any], path: Path) -> dict[str, Tensor]:
    """`content` as float32 tensors by name. Raises `WeightsError` for anything else in it."""
    state: dict[str, Tensor] = {}
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise WeightsError(f"{path}: {name!r:.80} is not a named tensor")
        if not tensor.is_floating_point() and not is_statistic(name):
            raise WeightsError(f"{path}: {name} is {tensor.dtype}, not floating point")
        _check_memory(name, tensor, path)
        state[name] = tensor.detach().to(torch.float32).contiguous()
        if not torch.isfinite(state[name]).all():
            raise WeightsError(f"{path}: {name} has values that are not finite")
    return state


def _check_memory(name: str, tensor: Tensor, path: Path) -> None:
    """Every value must stand in the file: a small one must not ask for endless memory."""
    if tensor.layout is not torch.strided or tensor.is_meta:
        kind = "meta" if tensor.is_meta else tensor.layout
        raise WeightsError(f"{path}: {name} is not a plain tensor but {kind}")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise WeightsError(f"{path}: {name} has more values than the file holds")


def load_state(module: torch.nn.Module, state: State, path: Path) -> None:
    """Load tensors with reference names into `module`, every one of the right shape.

    Training statistics of codebooks may be missing: `inited` is then set, the rest zero.
    Raises `WeightsError` with the first missing, unexpected and misshaped names.
    """
    own: dict[str, Tensor] = module.state_dict()
    full = dict(state)
    for name, tensor in own.items():
        if is_statistic(name) and name not in full:
            full[name] = torch.full_like(tensor, 1.0 if name.endswith(".inited") else 0.0)
    problems = [
        _listing("missing", [name for name in own if name not in full]),
        _listing("unexpected", [name for name in full if name not in own]),
        _listing(
            "of another shape",
            [
                f"{name} {list(full[name].shape)} instead of {list(tensor.shape)}"
                for name, tensor in own.items()
                if name in full and full[name].shape != tensor.shape
            ],
        ),
    ]
    if any(problems):
        raise WeightsError(f"{path}: {'; '.join(filter(None, problems))}")
    module.load_state_dict(full)


def _listing(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{what}: {', '.join(names[:_NAMED])}{more}"
