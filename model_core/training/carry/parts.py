"""Named tensors and a description in files of bounded size, with checksums.

All values are concatenated and cut into parts of equal size, so a tensor may start in one part and
end in the next. A part is a safetensors file of flat pieces. Its metadata hold the sha256 of every
part, over the names, types and values of its pieces and over the other metadata. So a part that is
missing, changed or of another pack is detected, whatever its file name.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ...checkpoints.files import read_bytes, read_json, read_metadata, replace_with
from ...errors import WeightsError

FORMAT = "encodec-carry-1"
LARGEST = 14 << 20  # bytes of values in a part; with its header a file stays below 15 MiB

Pieces = dict[str, Tensor]


@dataclass(frozen=True)
class _Part:
    path: Path
    number: int  # from 0
    digests: list[str]  # of all parts
    label: str
    pieces: Pieces


def write_parts(
    tensors: Mapping[str, Tensor],
    description: Mapping[str, Any],
    folder: Path,
    name: str,
    largest: int = LARGEST,
) -> list[Path]:
    """Write `folder/NAME-1-of-N.safetensors` and so on; returns the paths.

    `description` is any JSON value. No part has more than `largest` bytes of values.
    """
    shapes = {key: list(tensor.shape) for key, tensor in tensors.items()}
    labels = [json.dumps({"description": dict(description), "shapes": shapes})]
    parts = _cut(tensors, largest)
    labels += ["{}"] * (len(parts) - 1)
    digests = [_digest(part, label) for part, label in zip(parts, labels, strict=True)]
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, (part, label) in enumerate(zip(parts, labels, strict=True)):
        place = json.dumps({"part": number, "digests": digests})
        path = folder / f"{name}-{number + 1}-of-{len(parts)}.safetensors"
        with replace_with(path) as file:
            file.write(save(part, {"format": FORMAT, "place": place, "label": label}))
        paths.append(path)
    return paths


def read_parts(paths: Sequence[Path]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the description that `write_parts` wrote, from its files in any order.

    Raises `WeightsError` for a part that is missing, given twice, of another pack, changed or not
    a part.
    """
    parts: dict[int, _Part] = {}
    for path in paths:
        part = _read(path)
        other = next(iter(parts.values()), part)
        if part.digests != other.digests:
            raise WeightsError(f"{path} and {other.path} are of different packs")
        if part.number in parts:
            raise WeightsError(f"{path} and {parts[part.number].path} are the same part")
        parts[part.number] = part
    if not parts:
        raise WeightsError("there are no parts to unpack")
    count = len(next(iter(parts.values())).digests)
    missing = [str(number + 1) for number in range(count) if number not in parts]
    if missing:
        raise WeightsError(
            f"of {count} parts number {', '.join(missing)} is missing beside {paths[0]}"
        )
    first = parts[0]
    label = read_json(first.label, str(first.path))
    try:
        tensors = _joined([parts[number].pieces for number in range(count)], label["shapes"])
        return tensors, dict(label["description"])
    except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{first.path}: broken: {error!r:.200}") from error


def _cut(tensors: Mapping[str, Tensor], largest: int) -> list[Pieces]:
    """The values in as few parts as `largest` bytes allow, of about equal size."""
    total = sum(t.numel() * t.element_size() for t in tensors.values())
    count = max(1, -(-total // largest))
    room = -(-total // count) + 16  # the last few bytes may be too few for a value
    parts: list[Pieces] = [{}]
    left = room
    for name, tensor in tensors.items():
        rest = tensor.detach().cpu().reshape(-1)
        while True:
            fitting = min(len(rest), left // rest.element_size())
            if fitting or not len(rest):
                parts[-1][name] = rest[:fitting].clone()
                left -= fitting * rest.element_size()
                rest = rest[fitting:]
            if not len(rest):
                break
            parts.append({})
            left = room
    return parts


def _joined(parts: Sequence[Pieces], shapes: Mapping[str, list[int]]) -> dict[str, Tensor]:
    unknown = {name for part in parts for name in part} - set(shapes)
    if unknown:
        raise ValueError(f"pieces of nothing: {sorted(unknown)}")
    return {
        name: torch.cat([part[name] for part in parts if name in part]).view(shape)
        for name, shape in shapes.items()
    }


def _digest(pieces: Pieces, label: str) -> str:
    sha = hashlib.sha256(label.encode())
    for name in sorted(pieces):
        piece = pieces[name]
        sha.update(f"\n{name} {piece.dtype} {len(piece)}\n".encode())
        sha.update(piece.view(torch.uint8).numpy().data)
    return sha.hexdigest()


def _read(path: Path) -> _Part:
    metadata = read_metadata(path)
    if metadata.get("format") != FORMAT:
        raise WeightsError(f"{path}: not a part of a run that was packed")
    try:
        place, label = read_json(metadata["place"], str(path)), metadata["label"]
        pieces = load(read_bytes(path))
        number, digests = place["part"], place["digests"]
        right = digests[number] == _digest(pieces, label)
    except (SafetensorError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path}: broken: {error!r:.200}") from error
    if not right:
        raise WeightsError(f"{path}: it was changed: its checksum is wrong")
    return _Part(path, number, digests, label, pieces)
