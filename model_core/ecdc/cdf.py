"""Probabilities as integers, equal to the last bit in encoder and decoder.

Source: reference `quantization/ac.py`, `build_stable_quantized_cdf`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def build_stable_quantized_cdf(
    pdf: Tensor,
    total_range_bits: int,
    roundoff: float = 1e-8,
    min_range: int = 2,
    check: bool = True,
) -> Tensor:
    """The cumulative widths `[..., N]`, int64, of N symbols with probabilities `pdf` `[..., N]`.

    Symbol s gets the numbers from `cdf[s - 1]` (0 for the first) up to, but without, `cdf[s]`
    out of `2**total_range_bits`. Every symbol gets at least `min_range` of them, so that even
    the least likely one can be coded. Probabilities are first rounded down to a multiple of
    `roundoff` (0: unchanged), which hides most differences between machines. Apart from the
    integer sum, every step is element by element, so a batch gives the same bits as its rows.

    Raises `ValueError` if there are too many symbols for the range, if `min_range` is under 2,
    and, with `check`, if the widths exceed the range or one is too small.
    """
    if min_range < 2:
        raise ValueError(f"a min_range of {min_range} is under 2")
    total = 2**total_range_bits
    uniform = min_range * pdf.shape[-1] / total  # the part of the range shared evenly
    if not 0 < uniform <= 1:
        raise ValueError(
            f"{pdf.shape[-1]} symbols of at least {min_range} do not share a range of {total}"
        )
    pdf = pdf.detach()
    if roundoff:
        pdf = (pdf / roundoff).floor() * roundoff
    widths = (((1 - uniform) * total) * pdf).floor().long() + min_range
    cdf = widths.cumsum(dim=-1)
    if check and bool(((widths < min_range).any() | (cdf[..., -1] > total).any()).item()):
        raise ValueError("not probabilities: the widths do not fill the range")
    return cdf
