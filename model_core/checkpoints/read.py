"""The weights of a checkpoint as arrays, checked, for any backend. Nothing here imports torch but
the reading of a `.th`, and the network where it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import (
    CONFIGS,
    DEPTH_WIDTH,
    LMConfig,
    ModelConfig,
    check_config,
    check_lm_config,
)
from ..engine import NetworkWeights, StateDict
from ..engine.plan import state_shapes
from ..errors import WeightsError, WeightsUnavailableError
from .files import (
    FORMAT,
    is_statistic,
    read_json,
    read_metadata,
    read_reference,
    read_safetensors,
    weights_id,
)
from .hub import HUB_TENSORS, from_hub, read_hub_config
from .weight_set import FileName, Kind, LMSet, WeightSet

if TYPE_CHECKING:
    from ..nn.network import EncodecNetwork

FileState = tuple[Path, int, int]
"""What changes when a file does: its path, its time of change (ns) and its size (bytes)."""

_NAMED = 3  # how many wrong keys a message names


def read_config(path: Path, name: str) -> ModelConfig:
    """The network of the weights for the model `name` in `path`: a Hugging Face folder, a `.th` or
    a file of ours. Raises `WeightsError`, as every function here does."""
    if path.is_dir():
        config = read_hub_config(path)
    elif path.suffix == ".th":
        config = read_reference_config(path, name)
    else:
        config = read_own_config(path)
    if config.name != name:
        raise WeightsError(f"{path}: these are weights for {config.name}, not {name}")
    return config


def read_own_config(path: Path) -> ModelConfig:
    """The model configuration that a `.safetensors` file of ours carries."""
    config, _ = _own_metadata(path, "model")
    return check_config(config, path)


def read_own_lm(path: Path) -> tuple[LMConfig, str | None]:
    """The language model configuration in a file of ours, and which weights it is made for."""
    config, made_for = _own_metadata(path, "lm")
    return check_lm_config(config, path), made_for


def _own_metadata(path: Path, kind: Kind) -> tuple[dict[str, Any], str | None]:
    metadata = read_metadata(path)
    if metadata.get("format") != FORMAT or metadata.get("kind") != kind:
        raise WeightsError(f"{path}: its metadata does not say format {FORMAT}, kind {kind}")
    return read_json(metadata.get("config", ""), path), metadata.get("for")


def read_reference_config(path: Path, name: str) -> ModelConfig:
    """The network in a `.th` for `name`: the standard one, as wide as its first convolution."""
    state = read_reference(path)
    first = "encoder.model.0.conv.conv.weight"
    weight = state.get(f"{first}_v", state.get(first))
    if weight is None or weight.ndim != 3:
        return CONFIGS[name]  # what is wrong with it is said when it is loaded
    return check_config({**CONFIGS[name].to_dict(), "n_filters": len(weight)}, path)


def read_state(path: Path) -> StateDict:
    """The tensors under reference names: of a Hugging Face folder, a file of ours or a `.th`."""
    if path.is_dir():
        return from_hub(read_safetensors(path / HUB_TENSORS), read_hub_config(path))
    if path.suffix != ".safetensors":
        return read_reference(path)
    state = read_safetensors(path)
    named = named_id(path)
    if named is not None and weights_id(state) != named:
        raise WeightsError(
            f"{path}: wrong checksum: the id of its tensors is {weights_id(state)}, not {named}"
        )
    return state


def named_id(path: Path) -> str | None:
    """The id in the name of a file of ours, which `read_state` verifies."""
    named = FileName.parse(path.name)
    if named is None or named.suffix != "safetensors" or path.is_dir():
        return None
    return named.hex


def id_of(path: Path) -> str:
    """The id of the weights in `path`: in its name, or of its tensors, which are read for it once
    while the file stays as it is. Also raises `WeightsUnavailableError` where it has gone."""
    tensors = path / HUB_TENSORS if path.is_dir() else path
    return named_id(path) or _id_of(path, file_state(tensors))


@lru_cache(maxsize=256)
def _id_of(path: Path, _state: FileState) -> str:
    return weights_id(read_state(path))


def file_state(path: Path) -> FileState:
    """Raises `WeightsUnavailableError` where there is no such file."""
    try:
        stat = path.stat()
    except OSError as error:
        raise WeightsUnavailableError(f"{path} has gone: {error.strerror}") from error
    return path, stat.st_mtime_ns, stat.st_size


def read_network(weights: WeightSet) -> NetworkWeights:
    """The network of these weights, named as a header names it."""
    state, _ = read_checked(weights)
    require_shapes(state, state_shapes(weights.config), weights.path)

    def network() -> EncodecNetwork:
        from ..nn.network import EncodecNetwork
        from .load import network_of

        return network_of(weights, state, EncodecNetwork)

    return NetworkWeights(weights.header_name, weights.config, state, network)


def read_lm(weights: LMSet) -> StateDict:
    """The tensors of a language model. Raises `WeightsError` where they are not those of one."""
    state, _ = read_checked(weights)
    require_shapes(state, lm_shapes(weights.config), weights.path)
    return state


def read_checked(weights: WeightSet | LMSet) -> tuple[StateDict, str]:
    """The tensors and their id. Raises `WeightsError` where another id was expected."""
    state = read_state(weights.path)
    own = named_id(weights.path) or weights_id(state)
    if weights.id not in (None, own):
        raise WeightsError(
            f"{weights.path}: the file has changed: it no longer holds weights {weights.id}"
        )
    return state, own


def require_shapes(
    found: Mapping[str, Any], wanted: Mapping[str, tuple[int, ...]], path: Path
) -> None:
    """Raises `WeightsError` with the first names of `found`, numpy's arrays or torch's tensors,
    that are missing, unexpected and misshaped. Statistics of training may be missing."""
    wrong = {
        "missing": [name for name in wanted if name not in found and not is_statistic(name)],
        "unexpected": [name for name in found if name not in wanted],
        "of another shape": [
            f"{name} {list(found[name].shape)} instead of {list(shape)}"
            for name, shape in wanted.items()
            if name in found and tuple(found[name].shape) != shape
        ],
    }
    problems = []
    for what, names in wrong.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        if names:
            problems.append(f"{what}: {', '.join(names[:_NAMED])}{more}")
    if problems:
        raise WeightsError(f"{path}: {'; '.join(problems)}")


def lm_shapes(config: LMConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a language model, by its name in the reference; `depth_in`,
    `depth_emb` and `depth_out`, which are ours, only with a depth head."""
    dim, bins = config.dim, config.bins
    layer = {
        "self_attn.in_proj_weight": (3 * dim, dim),
        "self_attn.in_proj_bias": (3 * dim,),
        "self_attn.out_proj.weight": (dim, dim),
        "self_attn.out_proj.bias": (dim,),
        "linear1.weight": (4 * dim, dim),
        "linear1.bias": (4 * dim,),
        "linear2.weight": (dim, 4 * dim),
        "linear2.bias": (dim,),
        **{f"norm{n}.{values}": (dim,) for n in (1, 2) for values in ("weight", "bias")},
    }
    codebook: dict[str, tuple[int, ...]] = {
        "emb.{}.weight": (bins + 1, dim),
        "linears.{}.weight": (bins, dim),
        "linears.{}.bias": (bins,),
    }
    shapes: dict[str, tuple[int, ...]] = {
        "transformer.norm_in.weight": (dim,),
        "transformer.norm_in.bias": (dim,),
    }
    for number in range(config.num_layers):
        shapes |= {f"transformer.layers.{number}.{name}": shape for name, shape in layer.items()}
    for number in range(config.num_codebooks):
        shapes |= {name.format(number): shape for name, shape in codebook.items()}
    if config.depth:
        shapes |= {"depth_in.weight": (DEPTH_WIDTH, dim), "depth_in.bias": (DEPTH_WIDTH,)}
        shapes |= {"depth_out.weight": (dim, DEPTH_WIDTH), "depth_out.bias": (dim,)}
        for number in range(config.num_codebooks - 1):
            shapes[f"depth_emb.{number}.weight"] = (bins, DEPTH_WIDTH)
    return shapes
