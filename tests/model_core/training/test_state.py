"""A run's state is written whole, and only a state is read."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from model_core.errors import WeightsError
from model_core.training.state import kind_of, load_state, save_state


def test_a_state_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state.pt"
    save_state({"step": 3, "weights": torch.arange(4.0)}, path)
    state = load_state(path)
    assert state["step"] == 3
    assert torch.equal(state["weights"], torch.arange(4.0))
    assert [p.name for p in path.parent.iterdir()] == ["state.pt"]


def test_a_write_that_fails_leaves_the_old_state(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    save_state({"step": 1}, path)
    with pytest.raises((AttributeError, pickle.PicklingError)):
        save_state({"step": 2, "cannot": lambda: None}, path)
    assert load_state(path)["step"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]


def test_the_kind_is_known_without_reading_the_tensors(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    save_state({"kind": "lm", "step": 1, "weights": torch.zeros(1 << 20)}, path)
    assert read_by(lambda: kind_of(path)) < 1 << 20 < read_by(lambda: load_state(path))
    assert kind_of(path) == "lm"
    save_state({"step": 1}, path)
    assert kind_of(path) == "codec"  # the first runs did not say


def read_by(work: Callable[[], object]) -> int:
    """Bytes that the process reads from files meanwhile."""
    counts = []
    for _ in range(2):
        with Path("/proc/self/io").open() as file:
            counts.append(int(file.readline().split()[1]))
        if len(counts) == 1:
            work()
    return counts[1] - counts[0]


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, ("evil",))


@pytest.mark.parametrize("content", ["garbage", "text", "list", "pickle", "cut", "nothing"])
def test_anything_else_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "state.pt"
    if content == "garbage":
        path.write_bytes(b"\x00garbage" * 100)
    elif content == "text":
        path.write_text("hello\n")  # to pickle: fetch entry 101 of an empty memo
    elif content == "cut":
        save_state({"step": 1, "weights": torch.arange(4.0)}, path)
        path.write_bytes(path.read_bytes()[:-100])
    elif content == "list":
        torch.save([1, 2], path)
    elif content == "pickle":
        torch.save({"step": 1, "x": Evil()}, path)
    for read in (load_state, kind_of):
        with pytest.raises(WeightsError, match=r"state\.pt"):
            read(path)
