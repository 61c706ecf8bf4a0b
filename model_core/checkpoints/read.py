"""The weights of a checkpoint as arrays, checked, for any backend. Nothing here imports torch but
the reading of a `.th`, and the network where it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import LMConfig
from ..engine import NetworkWeights, State
from ..engine.plan import state_shapes
from ..errors import WeightsError
from .convert import read_state
from .names import FileName, LMSet, WeightSet, is_statistic, weights_id

if TYPE_CHECKING:
    from ..nn.network import EncodecNetwork

Shapes = Mapping[str, Sequence[int]]

_NAMED = 3  # how many wrong keys a message names


def read_network(weights: WeightSet) -> NetworkWeights:
    """The network of these weights, named as a header names it. Raises `WeightsError` naming the
    file."""
    state, _ = read_checked(weights)
    require_shapes(shapes_of(state), state_shapes(weights.config), weights.path)

    def network() -> EncodecNetwork:
        from ..nn.network import EncodecNetwork
        from .load import network_of

        return network_of(weights, state, EncodecNetwork)

    return NetworkWeights(weights.header_name, weights.config, state, network)


def check_lm(weights: LMSet) -> None:
    """Raises `WeightsError` where the language model could not be loaded."""
    state, _ = read_checked(weights)
    require_shapes(shapes_of(state), lm_shapes(weights.config), weights.path)


def read_checked(weights: WeightSet | LMSet) -> tuple[State, str]:
    """The tensors and their id. Raises `WeightsError` where another id was expected."""
    state = read_state(weights.path, weights.layout)
    named = FileName.parse(weights.path.name) if weights.layout == "own" else None
    own = weights_id(state) if named is None else named.hex  # which `read_state` has checked
    if weights.id not in (None, own):
        raise WeightsError(
            f"{weights.path}: the file has changed: it no longer holds weights {weights.id}"
        )
    return state, own


def require_shapes(found: Shapes, wanted: Shapes, path: Path) -> None:
    """Raises `WeightsError` with the first missing, unexpected and misshaped names. Training
    statistics of codebooks may be missing."""
    problems = [
        _listing("missing", [n for n in wanted if n not in found and not is_statistic(n)]),
        _listing("unexpected", [name for name in found if name not in wanted]),
        _listing(
            "of another shape",
            [
                f"{name} {list(found[name])} instead of {list(shape)}"
                for name, shape in wanted.items()
                if name in found and tuple(found[name]) != tuple(shape)
            ],
        ),
    ]
    if any(problems):
        raise WeightsError(f"{path}: {'; '.join(filter(None, problems))}")


def shapes_of(tensors: Mapping[str, Any]) -> Shapes:
    """The shapes of numpy's arrays or torch's tensors."""
    return {name: values.shape for name, values in tensors.items()}


def lm_shapes(config: LMConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a language model, by its name in the reference."""
    dim, bins = config.dim, config.bins
    shapes: dict[str, tuple[int, ...]] = {
        "transformer.norm_in.weight": (dim,),
        "transformer.norm_in.bias": (dim,),
    }
    for number in range(config.num_layers):
        layer = f"transformer.layers.{number}"
        shapes |= {
            f"{layer}.self_attn.in_proj_weight": (3 * dim, dim),
            f"{layer}.self_attn.in_proj_bias": (3 * dim,),
            f"{layer}.self_attn.out_proj.weight": (dim, dim),
            f"{layer}.self_attn.out_proj.bias": (dim,),
            f"{layer}.linear1.weight": (4 * dim, dim),
            f"{layer}.linear1.bias": (4 * dim,),
            f"{layer}.linear2.weight": (dim, 4 * dim),
            f"{layer}.linear2.bias": (dim,),
        }
        for norm in ("norm1", "norm2"):
            shapes |= {f"{layer}.{norm}.weight": (dim,), f"{layer}.{norm}.bias": (dim,)}
    codebooks = range(config.num_codebooks)
    shapes |= {f"emb.{k}.weight": (bins + 1, dim) for k in codebooks}
    for k in codebooks:
        shapes |= {f"linears.{k}.weight": (bins, dim), f"linears.{k}.bias": (bins,)}
    return shapes


def _listing(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{what}: {', '.join(names[:_NAMED])}{more}"
