"""Reading weights from files, never running code from them, and writing files whole or not at all.

Everything wrong with a file is a `WeightsError` that names it. Tensors are numpy arrays: torch is
imported only where a `.th` is read, which is a pickle that torch alone understands.
"""

import hashlib
import io
import json
import os
import pickle
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError, deserialize, safe_open

from ..engine import StateDict
from ..errors import WeightsError
from .weight_set import ID_LENGTH, FileName

FORMAT = "encodec-service"
"""What the metadata of this project's files call their format."""

_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_OTHERS = {"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?"}


def is_statistic(name: str) -> bool:
    """Whether training keeps the tensor called `name` about a codebook: coding never reads it, and
    not every format carries it."""
    return "codebook." in name and name.endswith((".inited", ".cluster_size", ".embed_avg"))


def weights_id(state: Mapping[str, np.ndarray]) -> str:
    """Eight hex digits of a sha256 over the tensors that coding depends on.

    `state` has reference names. The tensors go in sorted by name, each as a line
    `<name> <shape joined by x>` and then its values, float32, little-endian, row-major.
    """
    sha = hashlib.sha256()
    for name in sorted(state):
        if is_statistic(name):
            continue
        values = np.asarray(state[name], "<f4", order="C")
        sha.update(f"{name} {'x'.join(map(str, values.shape))}\n".encode())
        sha.update(values.tobytes())
    return sha.hexdigest()[:ID_LENGTH]


def is_file(path: Path) -> bool:
    """Whether it is a file that may be looked at."""
    try:
        return path.is_file()
    except OSError:
        return False


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


def read_reference(path: Path) -> StateDict:
    """The state dict in a `.th` file, loaded with `weights_only=True`.

    It may be wrapped as the reference's trainers do, under `best_state` or `state_dict`.
    """
    import torch

    data = read_bytes(path)
    _refuse_packed(data, path)
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # its text advises to load the file all the same
        reason = "it is broken, or holds more than those"
        raise WeightsError(f"{path}: not a file of plain tensors: {reason}") from error
    except Exception as error:  # bytes that are no checkpoint fail in a dozen ways
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{path}: not a file of plain tensors: {reason[:200]}") from error
    for key in ("best_state", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: holds a {type(content).__name__}, not a state dict")
    return state_from_tensors(content, path)


def _refuse_packed(data: bytes, path: Path) -> None:
    """torch stores tensors as they are; packed, a small file would take any amount of memory."""
    file = io.BytesIO(data)
    try:
        if not zipfile.is_zipfile(file):
            return
        packed = any(
            member.compress_type != zipfile.ZIP_STORED for member in zipfile.ZipFile(file).filelist
        )
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise WeightsError(f"{path}: not a file of plain tensors: {error}") from error
    if packed:
        raise WeightsError(f"{path}: its tensors are packed, which torch does not do")


def state_from_tensors(content: Mapping[Any, Any], path: Path) -> StateDict:
    """`content`, torch tensors by name, as float32. Raises `WeightsError` for anything else in it.

    Every value must be stored, and no two tensors may share what is: a small file must not take
    unbounded memory.
    """
    import torch

    state: StateDict = {}
    left: dict[int, int] = {}  # bytes of each storage that no tensor has had yet
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise WeightsError(f"{path}: {name!r:.80} is not a named tensor")
        if not tensor.is_floating_point() and not is_statistic(name):
            raise WeightsError(f"{path}: {name} is {tensor.dtype}, not floating point")
        if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_nested:
            kind = "meta" if tensor.is_meta else "nested" if tensor.is_nested else tensor.layout
            raise WeightsError(f"{path}: {name} is not a plain tensor but {kind}")
        storage = tensor.untyped_storage()
        there = left.setdefault(storage.data_ptr(), storage.nbytes())
        left[storage.data_ptr()] = there - tensor.numel() * tensor.element_size()
        if left[storage.data_ptr()] < 0:
            raise WeightsError(f"{path}: {name} has more values than the file holds for it")
        values = tensor.detach().to(torch.float32).contiguous().numpy()
        state[name] = _finite(name, values, path)
    return state


def read_safetensors(path: Path) -> StateDict:
    """The tensors of a `.safetensors` file, as float32."""
    try:
        content = deserialize(read_bytes(path))  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise WeightsError(f"{path}: not a safetensors file: {error}") from error
    state: StateDict = {}
    for name, stored in content:
        dtype = stored["dtype"]
        known = _FLOATS | _OTHERS if is_statistic(name) else _FLOATS
        if dtype not in known:
            raise WeightsError(f"{path}: {name} is {dtype}, not {', '.join(known)}")
        try:
            values = np.frombuffer(stored["data"], known[dtype]).reshape(stored["shape"])
        except ValueError as error:
            raise WeightsError(f"{path}: {name} has no shape that can be: {error}") from error
        if dtype == "BF16":  # the upper half of a float32
            values = (values.astype("<u4") << 16).view("<f4")
        with np.errstate(over="ignore"):  # what is too large is found by the next check
            state[name] = _finite(name, values.astype(np.float32), path)
    return state


def _finite(name: str, values: np.ndarray, path: Path) -> np.ndarray:
    if not np.isfinite(values).all():
        raise WeightsError(f"{path}: {name} has values that are not finite")
    return values


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a `.safetensors` file; only its header is read."""
    try:
        with safe_open(path, "np") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a safetensors file: {error}") from error


def read_json(text: str | bytes, where: Path | str) -> dict[str, Any]:
    """A JSON object. Raises `WeightsError` naming the file `where`."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{where}: not JSON: {error}") from error
    if not isinstance(data, dict):
        raise WeightsError(f"{where}: not a JSON object")
    return data


@contextmanager
def replace_with(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes `path`'s place when the block ends without an error."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
