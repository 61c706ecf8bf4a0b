"""Which parts of a run's state are packed, and how the others are made again.

Packed, as float16: the weights with codebooks and discriminators, and the balancer's averages. Not
packed is most of a state: averages that a few dozen steps make again. Adam's averages start anew,
with a new warm-up of the learning rate; the average of the weights starts at the weights. The sums
of the codebooks follow from their entries and sizes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...checkpoints.files import state_from_tensors
from ...checkpoints.load import load_state
from ...config import config_of
from ...errors import SettingsError, WeightsError
from ...nn.lm import LMModel
from ...nn.network import EncodecNetwork
from ..codec.adversary import Adversary
from ..codec.codebooks import rebuild_average
from ..codec.settings import CodecSettings
from ..lm.network import LMNetwork
from ..lm.settings import EARLIER, LMTrainingConfig
from ..schedule import progress

State = dict[str, Any]
Arrays = dict[str, np.ndarray]
Settings = CodecSettings | LMTrainingConfig

SHARED = ("config", "step", "spent")
DESCRIBED = {"codec": ("quantising", "balancer"), "lm": ("made_for",)}
PREFIXES = {"codec": ("weights.", "discriminator."), "lm": ("weights.",)}
_EXACT = (".inited", ".cluster_size")  # small, and counts: kept in float32


def packed(state: State) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The packed tensors of a state, and their description.

    For a finished run, they are the averaged weights, its result: of a language model those with
    the best evaluation, if the state has them as `best_average`. Raises `WeightsError` for an
    invalid state and for values that float16 cannot hold.
    """
    kind = state.get("kind", "codec")
    try:
        described = {"kind": kind} | {key: state[key] for key in (*SHARED, *DESCRIBED[kind])}
        described["recordings"] = state.get("recordings")
        weights = state["model" if kind == "codec" else "network"]
        if _ended(state):
            best = state["best_average"] if state.get("best_average") else state["average"]
            weights = {**weights, **best}
        tensors = {f"weights.{name}": tensor for name, tensor in weights.items()}
        adversary = state.get("adversary")
        if adversary is not None:
            found = adversary["discriminator"]
            tensors |= {f"discriminator.{name}": tensor for name, tensor in found.items()}
    except (KeyError, TypeError) as error:
        raise WeightsError(f"not the state of a run: {error!r}") from error
    travelling = {n: _small(n, t) for n, t in tensors.items() if not n.endswith(".embed_avg")}
    return travelling, described


def unpacked(
    tensors: Mapping[str, Tensor], described: Mapping[str, Any], where: Path
) -> tuple[State, Settings]:
    """The inverse of `packed`: a state that can continue, and the settings of its run.

    Raises `WeightsError`, naming the file `where`, for tensors that are not the network's, and
    `SettingsError` for invalid settings.
    """
    kind = described.get("kind")
    if kind not in DESCRIBED:
        raise WeightsError(f"{where}: a run of the unknown kind {kind!r}")
    keys = {"kind", *SHARED, *DESCRIBED[kind]}
    if set(described) - {"recordings"} != keys:  # earlier versions did not say those
        raise WeightsError(f"{where}: it says {sorted(described)}, not {sorted(keys)}")
    prefixes = tuple(PREFIXES[kind])
    strange = [name for name in tensors if not name.startswith(prefixes)]
    if strange:
        raise WeightsError(f"{where}: unexpected: {', '.join(strange[:3])}")
    arrays = state_from_tensors(tensors, where)
    settings = _settings(kind, described["config"])
    step = described["step"]
    state: State = dict(described) | {"optimizer": None, "warm_from": step, "average_updates": 0}
    with torch.random.fork_rng(devices=[]):
        if isinstance(settings, CodecSettings):
            state |= _codec(settings, arrays, where)
        else:
            state |= _lm(settings, arrays, where)
    return state, settings


def _codec(settings: CodecSettings, arrays: Arrays, where: Path) -> State:
    config = config_of(settings.model)
    model = EncodecNetwork(config.with_filters(settings.n_filters))
    load_state(model, _of("weights.", arrays), where)
    for layer in model.quantizer.codebooks:
        rebuild_average(layer.codebook)
    judges = _of("discriminator.", arrays)
    return {
        "model": model.state_dict(),
        "average": _floating(model),
        "adversary": _adversary(settings, judges, where) if judges else None,
    }


def _adversary(settings: CodecSettings, weights: Arrays, where: Path) -> State:
    adversary = Adversary(config_of(settings.model), settings.adversary_filters)
    load_state(adversary.discriminator, weights, where)
    return adversary.state_dict() | {"optimizer": None}


def _lm(settings: LMTrainingConfig, arrays: Arrays, where: Path) -> State:
    weights = _of("weights.", arrays)
    codec = settings.codec
    size = weights["outward"].shape[1] if weights.get("outward") is not None else codec.dimension
    network = LMNetwork(
        LMModel.from_config(settings.lm_config),
        torch.zeros(codec.num_codebooks, codec.bins, size),
        torch.ones(codec.num_codebooks, codec.bins),
    )
    load_state(network, weights, where)
    return {
        "network": network.state_dict(),
        "average": _floating(network),
        "best": float("inf"),  # of the evaluations from here on
    }


def _ended(state: State) -> bool:
    config = state["config"]
    return progress(state["step"], config["steps"], state["spent"], config["minutes"]) >= 1


def _settings(kind: str, values: Any) -> Settings:
    try:
        return CodecSettings(**values) if kind == "codec" else LMTrainingConfig(**EARLIER | values)
    except TypeError as error:
        raise SettingsError(f"not the settings of a run: {error}") from error


def _of(prefix: str, arrays: Arrays) -> Arrays:
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}


def _floating(module: nn.Module) -> dict[str, Tensor]:
    return {n: t.clone() for n, t in module.state_dict().items() if t.is_floating_point()}


def _small(name: str, tensor: Tensor) -> Tensor:
    small = tensor if name.endswith(_EXACT) else tensor.half()
    if not small.isfinite().all():
        raise WeightsError(f"{name} cannot be stored as float16: it has values out of range")
    return small
