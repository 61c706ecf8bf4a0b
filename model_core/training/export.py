"""`encodec-train export SOURCE FOLDER`: trained weights in common formats.

SOURCE is the run of a codec or of a language model, a folder or file of weights, or bundled.
FOLDER can be served directly (ENCODEC_WEIGHTS=FOLDER): its index points to the newest
safetensors, or to the .th if no safetensors is written.

safetensors  FOLDER/NAME-ID.safetensors, for this project
reference    FOLDER/NAME-CHECKSUM.th, for the reference package
hf           FOLDER/NAME/config.json and model.safetensors, for transformers

All hold the same values, so they have the same id and make the same bitstreams.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from ..checkpoints import Registry, WeightSet, write_index
from ..checkpoints.files import is_statistic, weights_id
from ..checkpoints.load import state_of
from ..checkpoints.read import read_own_lm
from ..checkpoints.save import save_hub, save_lm, save_reference, save_weights
from ..checkpoints.weight_set import FileName
from ..config import LMConfig
from ..errors import SettingsError, WeightsError, WeightsUnavailableError
from ..nn.lm import LMModel
from ..nn.network import EncodecNetwork
from .codec.start import fill_statistics
from .lm.export import export_lm, is_lm_run
from .source import Loaded, load_source

FORMATS = ("safetensors", "reference", "hf")
DTYPES = {"float16": torch.float16, "float32": torch.float32}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("source", help="a run, a folder or file of weights, or bundled")
    parser.add_argument("folder", type=Path, help="where to write")
    parser.add_argument(
        "--format", nargs="+", choices=FORMATS, default=["safetensors"], help="one or more"
    )
    parser.add_argument("--model", help="which one, if SOURCE has several; NAME or NAME:ID")
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        help="precision of the values (default: float16 for a run, unchanged for weights)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Export and print what was written. Raises `WeightsError` and what `load_source` raises."""
    if is_lm_run(Path(arguments.source)):
        if arguments.format != ["safetensors"] or arguments.dtype or arguments.model:
            raise SettingsError("--format, --dtype and --model are not for a language model's run")
        sys.stdout.write(f"{export_lm(Path(arguments.source), arguments.folder)}\n")
        return
    loaded = load_source(arguments.source, arguments.model)
    dtype = None if arguments.dtype is None else DTYPES[arguments.dtype]
    for path in export(loaded, arguments.folder, arguments.format, dtype):
        sys.stdout.write(f"{path}\n")


def export(
    loaded: Loaded,
    folder: Path,
    formats: Sequence[str] = ("safetensors",),
    dtype: torch.dtype | None = None,
) -> list[Path]:
    """Write the weights to `folder` in each of `formats`; returns the paths.

    The language model is included unless rounding to `dtype` changes the codec's weights; in the
    reference's format not one with a depth head, which the reference does not have. The model in
    `loaded` is rounded in place. Raises `WeightsError` for values that `dtype` cannot hold.
    """
    model, lm = loaded.model, loaded.lm
    if dtype is None:
        dtype = torch.float16 if loaded.step is not None or _fits_half(model, lm) else torch.float32
    before = weights_id(state_of(model))
    _round(model, dtype)
    fill_statistics(model)
    name, id_ = model.config.name, weights_id(state_of(model))
    if id_ != before:
        lm = None
    paths = []
    if "hf" in formats:
        save_hub(model, folder / name)
        paths.append(folder / name)
    if "reference" in formats:
        paths += _reference(model, lm, folder, dtype, alone="safetensors" not in formats)
    if "safetensors" in formats:
        paths += _safetensors(model, lm, folder, dtype)
    return paths


def _safetensors(
    model: EncodecNetwork, lm: LMModel | None, folder: Path, dtype: torch.dtype
) -> list[Path]:
    name, header = model.config.name, _header(model)
    path = save_weights(model, folder, dtype)
    if lm is None:
        lm_path = _fitting_lm(folder, name, header)
    else:
        lm_path = save_lm(lm, header, folder, dtype)
    write_index(folder, {name: (path, lm_path)})
    return [path] if lm_path is None else [path, lm_path]


def _reference(
    model: EncodecNetwork, lm: LMModel | None, folder: Path, dtype: torch.dtype, alone: bool
) -> list[Path]:
    name = model.config.name
    if lm is not None and lm.depth:
        lm = None  # the reference knows no depth head
    path = save_reference(model, name, "model", folder, dtype)
    lm_path = None if lm is None else save_reference(lm, name, "lm", folder, dtype)
    if alone:
        current = _current(folder, name)
        readable = lm is None or (lm.dim, len(lm.transformer.layers)) == _usual_lm(name)
        if current is None or current.header_name != _header(model) or not readable:
            write_index(folder, {name: (path, lm_path if readable else None)})
    return [path] if lm_path is None else [path, lm_path]


def _usual_lm(name: str) -> tuple[int, int]:
    """The language model's shape that loading a `.th` assumes."""
    config = LMConfig(name)
    return config.dim, config.num_layers


def _header(model: EncodecNetwork) -> str:
    return f"{model.config.name}:{weights_id(state_of(model))}"


def _fitting_lm(folder: Path, name: str, header: str) -> Path | None:
    """The language model in `folder` for the weights `header`: the current or the only one."""
    current = _current(folder, name)
    if current is not None and current.lm is not None and current.lm.made_for == header:
        return current.lm.path
    found = []
    for path in sorted(folder.glob("*.safetensors")):
        named = FileName.parse(path.name)
        if named is not None and named.kind == "lm" and read_own_lm(path)[1] == header:
            found.append(path)
    return found[0] if len(found) == 1 else None


def _current(folder: Path, name: str) -> WeightSet | None:
    """The weights in use in `folder`; None if they are missing or the choice is ambiguous."""
    try:
        return Registry(str(folder)).find(name)
    except (WeightsError, WeightsUnavailableError):
        return None


def _fits_half(model: EncodecNetwork, lm: LMModel | None) -> bool:
    """Whether float16 holds every value exactly."""
    tensors = {**model.state_dict(), **({} if lm is None else lm.state_dict())}
    return all(torch.equal(t, t.half().float()) for k, t in tensors.items() if not is_statistic(k))


@torch.no_grad()
def _round(model: EncodecNetwork, dtype: torch.dtype) -> None:
    for name, tensor in model.state_dict().items():
        if is_statistic(name):
            continue
        tensor.copy_(tensor.to(dtype))
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{name} cannot be stored as {dtype}: it has values out of range")
