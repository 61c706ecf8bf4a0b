"""Group norm over what counts of each row: one reading of it and one writing."""

import torch
from torch import Tensor, nn


class RowNorm:
    """`nn.GroupNorm` of one group over the first columns of each row of `x` `[B, C, T]`.

    The sums are taken once, over the whole row, in which what does not count must be zeros; what
    those zeros did to the mean and the variance is then taken out again. In a row that counts all
    along there is nothing to take out, so it gets the same bits in company of shorter ones as
    without. In float32 at least.
    """

    def __init__(self, norm: nn.GroupNorm, x: Tensor, length: Tensor | None):
        """`length` `[B]` is how many columns count; None for all."""
        self._type = x.dtype
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        variance, mean = torch.var_mean(wide, (1, 2), correction=0, keepdim=True)
        if length is not None:
            # With r = all / counted: the mean is r m, the variance r (v + m^2 (1 - r)).
            more = (x.shape[-1] / length.to(wide.dtype))[:, None, None]
            variance = (more * (variance + mean.square() * (1 - more))).clamp(min=0)
            mean = mean * more
        self._gain = norm.weight[:, None] * (variance + norm.eps).rsqrt()  # [B, C, 1]
        self._shift = norm.bias[:, None] - mean * self._gain
        self._wide = wide

    def __call__(self, first: int, last: int) -> Tensor:
        """The columns from `first` to before `last`, normalised."""
        part = self._wide[..., first:last]
        return torch.addcmul(self._shift, part, self._gain).to(self._type)
