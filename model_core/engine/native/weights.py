"""A model's weights in the order in which `csrc/interface.h` reads them: numpy alone, no torch."""

from collections.abc import Iterable, Iterator

import numpy as np

from ...config import ModelConfig
from ..plan import Layer, Lstm, Plan, Residual, decoder_plan, encoder_plan
from ..protocol import State
from .sums import norms


def flat_weights(config: ModelConfig, state: State) -> np.ndarray:
    """Encoder, decoder and the codebooks' entries, float32 `[n]`.

    `state` has the reference's names; weight norm may be folded or not (see `fold_weight_norm`).
    Raises `KeyError` for a tensor that is missing.
    """
    state = fold_weight_norm(state)
    norm = config.norm == "time_group_norm"
    names = [*_of_plan(encoder_plan(config), norm), *_of_plan(decoder_plan(config), norm)]
    names += [f"quantizer.vq.layers.{k}._codebook.embed" for k in range(config.num_codebooks)]
    return np.concatenate([state[name].ravel() for name in names], dtype=np.float32)


def fold_weight_norm(state: State) -> State:
    """`weight_g` and `weight_v` as the one weight `v · (g / ‖v‖)` that they make.

    With the bits that torch gives them (`sums.norms`).
    """
    folded: State = {}
    for name, values in state.items():
        if name.endswith(".weight_g"):
            direction = state[f"{name[:-1]}v"]
            length = norms(direction.reshape(len(direction), -1)).reshape(values.shape)
            folded[name.removesuffix("_g")] = direction * (values / length)
        elif not name.endswith(".weight_v"):
            folded[name] = values
    return folded


def _of_plan(plan: Plan, norm: bool) -> Iterator[str]:
    yield from _of_layers(plan.before, norm)
    if plan.lstm is not None:
        yield from _of_lstm(plan.lstm)
    yield from _of_layers(plan.after, norm)


def _of_layers(layers: Iterable[Layer], norm: bool) -> Iterator[str]:
    for layer in layers:
        if isinstance(layer, Residual):
            yield from _of_layers([*layer.block, layer.shortcut], norm)
        else:
            yield f"{layer.weights}.weight"
            yield f"{layer.weights}.bias"
            if norm:
                yield f"{layer.norm}.weight"
                yield f"{layer.norm}.bias"


def _of_lstm(lstm: Lstm) -> Iterator[str]:
    for number in range(lstm.num_layers):
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            yield f"{lstm.name}.lstm.{kind}_l{number}"
