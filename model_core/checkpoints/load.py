"""Networks with the weights of a checkpoint, and whether they still have them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ..ecdc import parse_model_name
from ..engine import NetworkWeights, StateDict
from ..errors import WeightsError
from ..nn.lm import LMModel
from ..nn.network import EncodecNetwork
from .files import is_statistic, weights_id
from .read import read_checked, require_shapes
from .registry import shared_registry
from .weight_set import LMSet, WeightSet

Network = TypeVar("Network", bound=EncodecNetwork)
Module = TypeVar("Module", bound=nn.Module)


def load_network(
    weights: WeightSet, kind: type[Network], device: torch.device | str = "cpu"
) -> Network:
    """A network of class `kind` with these weights, in eval mode, named as a header names it.

    Raises `WeightsError` naming the file.
    """
    state, own_id = read_checked(weights)
    network = network_of(weights, state, kind)
    network.weights = weights.origin
    network.weights_id = own_id
    return network.to(device)


def network_of(weights: WeightSet, state: StateDict, kind: type[Network]) -> Network:
    """As `load_network`, with the tensors that were read of `weights`."""
    return _filled(lambda: kind(weights.config, weights.header_name), state, weights.path)


def weights_of(network: EncodecNetwork) -> NetworkWeights:
    """What an engine for `network` is made from."""
    dtypes = {parameter.dtype for parameter in network.parameters()}
    state = state_of(network) if dtypes == {torch.float32} else None
    return NetworkWeights(network.name, network.config, state, lambda: network)


def load_lm(weights: LMSet, device: torch.device | str = "cpu") -> LMModel:
    """The language model with these weights, in eval mode. Raises `WeightsError`."""
    state, _ = read_checked(weights)
    return _filled(lambda: LMModel.from_config(weights.config), state, weights.path).to(device)


def _filled(build: Callable[[], Module], state: StateDict, path: Path) -> Module:
    with torch.random.fork_rng(devices=[]):  # loading must not move the caller's random numbers
        module = build()
    load_state(module, state, path)
    return module.eval()


def load_state(module: nn.Module, state: Mapping[str, np.ndarray | Tensor], path: Path) -> None:
    """Load tensors with reference names into `module`, every one of the right shape.

    Training statistics of codebooks may be missing: `inited` is then set, the rest zero.
    Raises `WeightsError` with the first missing, unexpected and misshaped names.
    """
    own: dict[str, Tensor] = module.state_dict()
    full = {name: torch.as_tensor(values) for name, values in state.items()}
    for name, tensor in own.items():
        if is_statistic(name) and name not in full:
            full[name] = torch.full_like(tensor, 1.0 if name.endswith(".inited") else 0.0)
    require_shapes(full, {name: tuple(tensor.shape) for name, tensor in own.items()}, path)
    module.load_state_dict(full)


def state_of(module: nn.Module) -> StateDict:
    """The tensors of `module`, float32 on the CPU."""
    return {
        name: tensor.detach().cpu().float().contiguous().numpy()
        for name, tensor in module.state_dict().items()
    }


def check_unchanged(network: EncodecNetwork) -> None:
    """Raises `WeightsError` where what `network` codes would be decoded with other weights.

    The weights it should have are those that its name gives the id of or, for a plain name, those
    it was loaded with; without either, any. Weights rounded to half precision are still the same:
    the originals are looked for, which raises as `Registry.find_exact`.
    """
    # A model pickled by an earlier version has no such attribute.
    expected = parse_model_name(network.name).weights or getattr(network, "weights_id", None)
    if expected is None:
        return
    own = weights_id(state_of(network))
    if own == expected or own == _rounded_id(network):
        return
    raise WeightsError(
        f"the weights of this model are no longer those of {network.name}, with which its files "
        "would be decoded: save them (model_core.checkpoints.save.save_weights) and load a model "
        "from there"
    )


def _rounded_id(network: EncodecNetwork) -> str | None:
    """The id of the weights that `network` is named after, rounded as it is; None in float32."""
    dtype = next(network.parameters()).dtype
    if dtype not in (torch.float16, torch.bfloat16):
        return None
    found = shared_registry(network.weights).find_exact(network.name)
    return weights_id(state_of(load_network(found, EncodecNetwork).to(dtype)))
