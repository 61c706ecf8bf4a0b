"""Overlap-add of decoded segments. Source: reference `utils.py`, `_linear_overlap_add`."""

import torch
from torch import Tensor


def triangle(length: int, like: Tensor) -> Tensor:
    """Weights of a segment's samples: from near 0 up to 0.5 in the middle and down again."""
    t = torch.linspace(0, 1, length + 2, device=like.device, dtype=like.dtype)[1:-1]
    return 0.5 - (t - 0.5).abs()


def linear_overlap_add(frames: list[Tensor], stride: int) -> Tensor:
    """Join segments `[..., T_i]` that start `stride` samples apart.

    Each is weighted by a triangle and the sum is divided by the sum of the weights: a segment
    alone stays as it is, two that overlap cross-fade linearly.

        \\  /\\  /        weights, S the start of the second segment, E the end of the first
         \\/  \\/         at t the second has (t - S) / (E - S)
         S E

    The result ends with the last segment. If that is shorter than the overlap, the segment before
    it is cut at the same place.
    """
    total = stride * (len(frames) - 1) + frames[-1].shape[-1]
    first = frames[0]
    weight = triangle(first.shape[-1], first)
    weight_sum = torch.zeros(total, device=first.device, dtype=first.dtype)
    out = torch.zeros(*first.shape[:-1], total, device=first.device, dtype=first.dtype)
    for index, frame in enumerate(frames):
        start = index * stride
        end = min(start + frame.shape[-1], total)
        faded = weight[: end - start]
        out[..., start:end] += faded * frame[..., : end - start]
        weight_sum[start:end] += faded
    return out / weight_sum
