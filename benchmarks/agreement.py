"""Agreement of the contenders' results: equal codes and files, distance of samples."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Outputs = Sequence[npt.NDArray[np.generic]]


def agreement(direction: str, one: str, outputs: Mapping[str, Outputs]) -> dict[str, str]:
    """The agreement of each of the others with `one`, in words."""
    if one not in outputs:
        return {}
    wanted = np.concatenate(outputs[one], axis=1)
    say = _codes if direction == "encode" else _samples
    return {
        name: say(wanted, np.concatenate(output, axis=1))
        for name, output in outputs.items()
        if name != one
    }


def same_file(a: bytes, b: bytes) -> str:
    """Whether two files are the same, in words."""
    return "bytes identical" if a == b else f"other bytes ({len(a)}, {len(b)})"


def signal_to_noise(one: npt.NDArray[np.generic], other: npt.NDArray[np.generic]) -> str:
    """The distance of `other` from `one`, samples `[C, n]`, in words."""
    if one.shape != other.shape:
        return _other_shape("samples", one, other)
    x, y = one.astype(np.float64), other.astype(np.float64)
    noise = np.sum((x - y) ** 2)
    return (
        "samples identical" if noise == 0 else f"SNR {10 * np.log10(np.sum(x**2) / noise):.0f} dB"
    )


def _codes(a: npt.NDArray[np.generic], b: npt.NDArray[np.generic]) -> str:
    if a.shape != b.shape:
        return _other_shape("codes", a, b)
    return f"{np.mean(a == b):.3%} of codes"


def _samples(a: npt.NDArray[np.generic], b: npt.NDArray[np.generic]) -> str:
    if a.shape != b.shape:
        return _other_shape("samples", a, b)
    x, y = a.astype(np.float64), b.astype(np.float64)
    return f"within {np.abs(x - y).max() / np.abs(y).max():.0e} of peak"


def _other_shape(what: str, a: npt.NDArray[np.generic], b: npt.NDArray[np.generic]) -> str:
    return f"{what} {list(a.shape)}, {list(b.shape)}"
