"""Two processes over gloo end up with the same gradients and buffers."""

from pathlib import Path

import pytest
import torch
from torch import distributed as dist
from torch import multiprocessing as mp

from model_core import Balancer, distrib


def test_alone_nothing_happens() -> None:
    tensor = torch.ones(2)
    distrib.all_reduce(tensor)
    distrib.sync_buffer([tensor])
    distrib.broadcast_tensors([tensor])
    assert tensor.tolist() == [1, 1]
    assert distrib.average_metrics({"a": 2.0}) == {"a": 2.0}
    assert (distrib.rank(), distrib.world_size()) == (0, 1)


def test_two_processes_agree(tmp_path: Path) -> None:
    mp.spawn(_worker, args=(str(tmp_path),), nprocs=2)
    results = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for name in results[0].keys() - {"left alone"}:
        assert torch.equal(results[0][name], results[1][name]), name
    assert results[0]["gradient"].tolist() == [1.5, 1.5]
    assert results[0]["averaged"].tolist() == [0.5]
    assert results[0]["broadcast"].tolist() == [0.0]
    assert results[0]["metric"].tolist() == [2.5]  # (1 · 1 + 3 · 3) / 4
    assert results[0]["first"].tolist() == [0.0]
    assert results[0]["complex"].tolist() == [0 + 1j]
    assert results[0]["sum"].tolist() == [1.0]
    assert results[0]["gradients"].tolist() == [3.0, 5.0]
    # Norms of 1 and 3 items: (1 · 1 + 3 · 2) / 4, kept by both.
    assert results[0]["balancer"].tolist() == [1.75]
    assert [result["left alone"].tolist() for result in results] == [[0, 0, 0], [1, 1, 1]]


def _start(rank: int, folder: str) -> None:
    store = dist.FileStore(f"{folder}/store", 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)


def _worker(rank: int, folder: str) -> None:
    _start(rank, folder)
    assert (distrib.rank(), distrib.world_size()) == (rank, 2)
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.full((2,), 1.0 + rank)
    distrib.sync_grad([parameter])
    averaged, broadcast = torch.tensor([float(rank)]), torch.tensor([float(rank)])
    distrib.sync_buffer([averaged, torch.tensor([rank])])
    distrib.broadcast_tensors([broadcast])
    count = 1 + 2 * rank
    metric = distrib.average_metrics({"m": float(count)}, count)["m"]
    first, total = torch.tensor([float(rank)]), torch.tensor([float(rank)])
    distrib.sync_buffer([first], average=False)
    distrib.all_reduce(total)
    several = [torch.nn.Parameter(torch.zeros(1)) for _ in range(3)]
    for i, each in enumerate(several[:2]):  # the third one has no gradient
        each.grad = torch.tensor([4.0 * rank + 2 * i + 1])
    distrib.sync_grad(several)
    phase = torch.tensor([rank + 1j])
    distrib.broadcast_tensors([phase])
    integers = [torch.tensor([rank]) for _ in range(3)]
    distrib.sync_buffer([integers[0]])
    distrib.sync_buffer([integers[1]], average=False)
    distrib.broadcast_tensors([integers[2]])
    with pytest.raises(RuntimeError, match="tensors"):  # else one would wait forever
        distrib.broadcast_tensors([torch.zeros(1)] * (1 + rank))
    balancer = Balancer({"a": 1})
    x = torch.zeros(count, 1, requires_grad=True)
    balancer.gradient({"a": (1 + rank) * x.sum()}, x)
    torch.save(
        {
            "left alone": torch.cat(integers),
            "first": first,
            "sum": total,
            "gradients": torch.cat([each.grad for each in several if each.grad is not None]),
            "complex": phase,
            "balancer": torch.tensor([balancer.state_dict()["sums"]["a"]]),
            "gradient": parameter.grad,
            "averaged": averaged,
            "broadcast": broadcast,
            "metric": torch.tensor([metric]),
        },
        f"{folder}/{rank}.pt",
    )
    dist.destroy_process_group()
