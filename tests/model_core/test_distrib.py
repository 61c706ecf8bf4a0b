"""Two processes over gloo end up with the same gradients and buffers."""

from pathlib import Path

import torch
from torch import distributed as dist
from torch import multiprocessing as mp

from model_core import distrib


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
    for name in results[0]:
        assert torch.equal(results[0][name], results[1][name]), name
    assert results[0]["gradient"].tolist() == [1.5, 1.5]
    assert results[0]["averaged"].tolist() == [0.5]
    assert results[0]["broadcast"].tolist() == [0.0]
    assert results[0]["metric"].tolist() == [2.5]  # (1 · 1 + 3 · 3) / 4


def _worker(rank: int, folder: str) -> None:
    store = dist.FileStore(f"{folder}/store", 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.full((2,), 1.0 + rank)
    distrib.sync_grad([parameter])
    averaged, broadcast = torch.tensor([float(rank)]), torch.tensor([float(rank)])
    distrib.sync_buffer([averaged, torch.tensor([rank])])
    distrib.broadcast_tensors([broadcast])
    count = 1 + 2 * rank
    metric = distrib.average_metrics({"m": float(count)}, count)["m"]
    torch.save(
        {
            "gradient": parameter.grad,
            "averaged": averaged,
            "broadcast": broadcast,
            "metric": torch.tensor([metric]),
        },
        f"{folder}/{rank}.pt",
    )
    dist.destroy_process_group()
