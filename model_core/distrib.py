"""Helpers for training on several processes; without a process group they do nothing.

Source: reference `distrib.py` (repository head); `sync_buffer` divides by the number of
processes.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch import distributed as dist


def rank() -> int:
    """Index of this process."""
    return dist.get_rank() if _initialised() else 0


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if _initialised() else 1


def is_distributed() -> bool:
    return world_size() > 1


def _initialised() -> bool:
    return dist.is_available() and dist.is_initialized()


def all_reduce(tensor: Tensor) -> None:
    """Sum `tensor` over the processes, in place."""
    if is_distributed():
        dist.all_reduce(tensor)


def broadcast(tensor: Tensor) -> None:
    """Give every process the tensor of the first one, in place."""
    if is_distributed():
        dist.broadcast(tensor, src=0)


def broadcast_tensors(tensors: Iterable[Tensor], src: int = 0) -> None:
    """Give every process the tensors of process `src`, in place; integers are left alone.

    Raises `RuntimeError` when the processes do not hold the same number of them.
    """
    if not is_distributed():
        return
    floating = [t for t in tensors if t.is_floating_point() or t.is_complex()]
    _check_same_number(floating)
    handles = [dist.broadcast(t.data, src=src, async_op=True) for t in floating]
    _wait(handles)


def sync_buffer(buffers: Iterable[Tensor], average: bool = True) -> None:
    """Average the floating-point buffers over the processes, or take those of process 0."""
    if not is_distributed():
        return
    floating = [b for b in buffers if b.is_floating_point()]
    if average:
        _wait([dist.all_reduce(b.data, async_op=True) for b in floating])
        for buffer in floating:
            buffer.data /= world_size()
    else:
        _wait([dist.broadcast(b.data, src=0, async_op=True) for b in floating])


def sync_grad(params: Iterable[Tensor]) -> None:
    """Average the gradients over the processes; call it after the backward pass."""
    if not is_distributed():
        return
    gradients = [p.grad.data for p in params if p.grad is not None]
    _wait([dist.all_reduce(g, async_op=True) for g in gradients])
    for gradient in gradients:
        gradient /= world_size()


def average_metrics(metrics: Mapping[str, float], count: float = 1.0) -> dict[str, float]:
    """Mean of each metric over the processes, weighted by each process's `count`."""
    if not is_distributed():
        return dict(metrics)
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    values = torch.tensor([float(v) for v in metrics.values()], device=device, dtype=torch.float32)
    return dict(zip(metrics, average_values(values, count).tolist(), strict=True))


def average_values(values: Tensor, count: float = 1.0) -> Tensor:
    """Mean of each of `values` `[n]` over the processes, weighted by each process's `count`.

    Nothing is read by the host.
    """
    if not is_distributed():
        return values
    totals = torch.cat([values, values.new_ones(1)]) * count
    all_reduce(totals)
    return totals[:-1] / totals[-1]


def _check_same_number(tensors: list[Tensor]) -> None:
    if not tensors:
        return
    total = torch.tensor([len(tensors)], device=tensors[0].device)
    all_reduce(total)
    if total.item() != len(tensors) * world_size():
        raise RuntimeError(f"this process holds {len(tensors)} tensors, another one does not")


def _wait(handles: Iterable[dist.Work | None]) -> None:
    for handle in handles:
        if handle is not None:
            handle.wait()
