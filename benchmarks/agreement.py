"""That the contenders do the same thing: the codes that are equal, how far samples are apart."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Outputs = Sequence[npt.NDArray[np.generic]]


def agreement(direction: str, one: str, outputs: Mapping[str, Outputs]) -> dict[str, str]:
    """What each of the others has in common with `one`, in words."""
    if one not in outputs:
        return {}
    wanted = np.concatenate(outputs[one], axis=1)
    say = _codes if direction == "encode" else _samples
    return {
        name: say(wanted, np.concatenate(output, axis=1))
        for name, output in outputs.items()
        if name != one
    }


def _codes(a: npt.NDArray[np.generic], b: npt.NDArray[np.generic]) -> str:
    if a.shape != b.shape:
        return f"codes {list(a.shape)}, {list(b.shape)}"
    return f"{np.mean(a == b):.3%} of codes"


def _samples(a: npt.NDArray[np.generic], b: npt.NDArray[np.generic]) -> str:
    if a.shape != b.shape:
        return f"samples {list(a.shape)}, {list(b.shape)}"
    x, y = a.astype(np.float64), b.astype(np.float64)
    return f"within {np.abs(x - y).max() / np.abs(y).max():.0e} of peak"
