"""Sums of float32 numbers, and weight norm, with the bits that torch gives them, without torch.

torch has eight numbers side by side in a vector on every x86 processor with AVX2, wider ones too.
"""

import numpy as np

from ..protocol import StateDict

_LANES = 8
_STREAMS = 4  # vectors that are summed side by side
_LEVELS = 4


def cascade_sum(x: np.ndarray) -> np.float32:
    """The sum of `x` `[n]`, as `torch.sum` takes it on one thread.

    Source: ATen/native/cpu/SumKernel.cpp, `vectorized_inner_sum` and `scalar_inner_sum`.
    """
    if len(x) < _LANES:
        return np.float32(_row_sum(x))
    whole = len(x) // _LANES * _LANES
    lanes = _row_sum(x[:whole].reshape(-1, _LANES))
    return np.float32(_one_by_one(np.concatenate([x[whole:], lanes])))


def norms(rows: np.ndarray) -> np.ndarray:
    """The length `[M]` of each of `rows` `[M, N]`, as `torch._weight_norm` takes it.

    Source: ATen/native/cpu/WeightNormKernel.cpp; ATen/cpu/vec/functional_base.h,
    `map_reduce_all`.
    """
    squares = (rows * rows).T
    if len(squares) < _LANES:
        return np.sqrt(_one_by_one(squares))
    whole = len(squares) // _LANES * _LANES
    lanes = _one_by_one(squares[:whole].reshape(-1, _LANES, len(rows)))
    lanes[: len(squares) - whole] += squares[whole:]
    while len(lanes) > 1:
        lanes = lanes[: len(lanes) // 2] + lanes[len(lanes) // 2 :]
    return np.sqrt(lanes[0])


def without_weight_norm(state: StateDict) -> StateDict:
    """`weight_g` and `weight_v` as the one weight `v · (g / ‖v‖)`, with the bits that torch gives
    it."""
    folded: StateDict = {}
    for name, values in state.items():
        if name.endswith(".weight_g"):
            direction = state[f"{name[:-1]}v"]
            length = norms(direction.reshape(len(direction), -1)).reshape(values.shape)
            folded[name.removesuffix("_g")] = direction * (values / length)
        elif not name.endswith(".weight_v"):
            folded[name] = values
    return folded


def _row_sum(rows: np.ndarray) -> np.ndarray:
    """Of `[n, ...]`: every fourth row in a cascade of its own, then those one after another."""
    whole = len(rows) // _STREAMS * _STREAMS
    streams = _cascade(rows[:whole].reshape(-1, _STREAMS, *rows.shape[1:]))
    first = _one_by_one(np.concatenate([streams[:1], rows[whole:]]))
    return _one_by_one(np.concatenate([first[None], streams[1:]]))


def _cascade(rows: np.ndarray) -> np.ndarray:
    """Of `[n, ...]`: groups of rows, then groups of those sums and so on, so that what is added
    up is of like size; what is left over on each level comes last."""
    group = 1 << max(4, (len(rows) - 1).bit_length() // _LEVELS)
    left = []
    for _ in range(_LEVELS - 1):
        whole = len(rows) // group * group
        left.append(_one_by_one(rows[whole:]))
        groups = rows[:whole].reshape(-1, group, *rows.shape[1:])
        rows = _one_by_one(groups.swapaxes(0, 1))
    return _one_by_one(np.stack([*left, _one_by_one(rows)]))


def _one_by_one(rows: np.ndarray) -> np.ndarray:
    """The sum over the first axis, from the first to the last."""
    total = np.zeros(rows.shape[1:], np.float32)
    for row in rows:
        total += row
    return total
