"""What can be told of the recorder without a CUDA device."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from model_core.engine.cuda.recorder import CudaRecorder, in_new_thread


@contextmanager
def _watched(monkeypatch: pytest.MonkeyPatch, wants: int) -> Iterator[None]:
    """Inside, memory is asked for in vain so many times."""
    counts = iter([7, 7 + wants])
    monkeypatch.setattr(
        torch.cuda, "memory_stats_as_nested_dict", lambda device: {"num_ooms": next(counts)}
    )
    recorder = object.__new__(CudaRecorder)
    recorder._device = torch.device("cuda")
    with recorder.every_allocation_succeeds():
        yield


def test_memory_that_was_wanting_is_an_error_though_all_went_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """cuDNN has then taken another algorithm, which gives other bits."""
    with pytest.raises(torch.OutOfMemoryError), _watched(monkeypatch, wants=1):
        pass
    with _watched(monkeypatch, wants=0):
        pass


def test_an_error_that_memory_was_behind_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(torch.OutOfMemoryError, match="unable to find an engine"),
        _watched(monkeypatch, wants=2),
    ):
        raise RuntimeError("GET was unable to find an engine to execute this computation")


def test_other_errors_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="shapes") as raised, _watched(monkeypatch, wants=0):
        raise RuntimeError("shapes do not fit")
    assert not isinstance(raised.value, torch.OutOfMemoryError)


def test_in_new_thread_is_another_thread_each_time_whose_errors_are_raised() -> None:
    idents = [in_new_thread(threading.current_thread) for _ in range(2)]
    assert len({*idents, threading.current_thread()}) == 3
    with pytest.raises(ValueError, match="no"):
        in_new_thread(lambda: int("no"))
