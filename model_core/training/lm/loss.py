"""The cost of codes under a language model, without keeping the logits.

The logits of a step are by far its largest tensor (400 MB for 3000 frames, 32 codebooks and 1024
entries). So they are computed codebook by codebook, each together with its gradient.
"""

import math
from typing import Any

import torch
from torch import Tensor


class _LinearBits(torch.autograd.Function):
    """Mean bits per code, and the bits of each code; only the mean has a gradient."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        with torch.autocast(device, enabled=False):
            low, rows = x.to(dtype), weight.to(dtype)
            own_inputs = x.dim() == 3
            counted = targets >= 0
            scale = 1 / (math.log(2) * counted.sum().clamp(min=1))
            nats = torch.zeros(targets.shape, dtype=torch.float32, device=x.device)
            dx = torch.zeros(x.shape, dtype=torch.float32, device=x.device)
            dweight = torch.empty_like(weight)
            dbias = torch.empty_like(bias)
            for k in range(weight.shape[0]):
                known, target = counted[:, k], targets[:, k : k + 1].clamp(min=0)
                seen = low[k] if own_inputs else low
                logits = (seen @ rows[k].t()).float() + bias[k]
                total = logits.logsumexp(dim=1, keepdim=True)
                nats[:, k] = torch.where(known, (total - logits.gather(1, target))[:, 0], 0)
                gradient = logits.sub_(total).exp_()
                gradient.scatter_add_(1, target, torch.full_like(total, -1))
                gradient.mul_((known * scale)[:, None])
                dbias[k] = gradient.sum(dim=0)
                short = gradient.to(dtype)
                dweight[k] = short.t() @ seen
                (dx[k] if own_inputs else dx).add_(short @ rows[k])
        ctx.save_for_backward(dx.to(x.dtype), dweight, dbias)
        bits = nats / math.log(2)
        ctx.mark_non_differentiable(bits)
        return nats.sum() * scale, bits

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        dx, dweight, dbias = ctx.saved_tensors
        outer = gradients[0]
        return dx * outer, dweight * outer, dbias * outer, None


def linear_bits(x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy in bits of codes predicted linearly.

    `x` `[N, dim]`, or `[K, N, dim]` where each codebook has its own; `weight` `[K, card, dim]`,
    `bias` `[K, card]`, `targets` `[N, K]` (negative: no target). Returns the mean over all targets
    (with a gradient) and the bits of each target `[N, K]` (0 without a target; no gradient).
    Products are in the precision of autocast, the rest in float32.
    """
    mean, bits = _LinearBits.apply(x, weight, bias, targets)  # type: ignore[no-untyped-call]
    return mean, bits
