"""Recordings of a step: what is replayed is what a plain run gives; what is done where one fails.

`HostRecorder` is to the CPU what a CUDA graph is to a GPU: a replay does the work again, on the
same inputs, into the same outputs.
"""

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch

from model_core.engine.cuda import capture
from model_core.engine.cuda.capture import (
    CaptureError,
    Capturing,
    CudaRecorder,
    Recording,
    every_allocation_succeeds,
    in_new_thread,
)
from model_core.engine.cuda.runner import batch_of
from model_core.engine.cuda.steps import CARRIED, DecodeStep, EncodeStep, Step, Tensors, Variant
from model_core.nn.conv import fold_weight_norm
from tests.model_core.engine.narrow import narrow_model
from tests.peers import NAMES

_ROWS = 4


class HostRecorder(CudaRecorder):
    """Fails as often as `failures` says, with these errors in turn."""

    def __init__(self, *failures: Exception):
        self.failures = list(failures)

    @torch.inference_mode()
    def launch(self, function: Callable[[], object]) -> None:
        function()

    @torch.inference_mode()
    def record(self, function: Callable[[], Tensors]) -> Recording:
        if self.failures:
            raise self.failures.pop(0)
        outputs = {name: torch.full_like(x, 0) for name, x in function().items()}

        def replay() -> None:
            for name, x in function().items():
                outputs[name].copy_(x)

        return Recording(replay, outputs)


def _step(name: str, direction: str) -> Step:
    model = narrow_model(name)
    fold_weight_norm(model)
    if direction == "encode":
        return EncodeStep(model)
    return DecodeStep(model)


def _given(step: Step) -> Tensors:
    given = batch_of(step.inputs, _ROWS)
    if step.begin is not None:
        given[CARRIED] = step.begin.repeat(_ROWS, 1)
    return given


def _fill(given: Tensors, seed: int) -> None:
    """Another batch in the same tensors: two rows follow others, one is short."""
    draw = torch.Generator().manual_seed(seed)
    causal = CARRIED in given
    if "samples" in given:
        given["samples"].normal_(0, 0.1, generator=draw)
        size = given["samples"].shape[-1]
    else:
        given["codes"].random_(0, 1024, generator=draw)
        given["num_codebooks"].fill_(8)
        size = given["codes"].shape[-1]
    given["length"].fill_(size)
    given["length"][-1] = size // 3
    given["continues"].copy_(torch.tensor([False, causal, causal, False]))
    if causal:
        given[CARRIED][0].normal_(0, 0.1, generator=draw)


@torch.inference_mode()
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_a_replay_is_a_plain_run(name: str, direction: str) -> None:
    """Batch after batch, variant after variant, in whatever the ones before have left."""
    step = _step(name, direction)
    given = _given(step)
    recorded = Capturing(step, given, HostRecorder())
    wholes = (False,) if step.begin is not None else (True, False)
    counts = (2, 8) if direction == "encode" else (0,)
    variants = [Variant(whole, count) for whole in wholes for count in counts]
    for variant in variants:
        recorded.prepare(variant)
    assert recorded.complete
    for seed, variant in enumerate(2 * variants):
        _fill(given, seed)
        if variant.whole:
            given["length"].fill_(given["length"].max())
        longest = 3 if step.begin is not None else 1
        expected = step.run({n: x.clone() for n, x in given.items()}, variant, longest)
        replay = recorded.replay_of(variant)
        assert replay is not None
        outputs = replay(longest)
        assert outputs.keys() == expected.keys()
        for key, value in expected.items():
            assert torch.equal(outputs[key], value), key


def _prepared(*failures: Exception) -> Capturing:
    step = _step("encodec_24khz", "encode")
    recorded = Capturing(step, _given(step), HostRecorder(*failures))
    with torch.inference_mode():
        recorded.prepare(Variant(False, 2))
    return recorded


def test_want_of_memory_is_met_by_freeing_some(monkeypatch: pytest.MonkeyPatch) -> None:
    freed: list[None] = []
    monkeypatch.setattr(capture, "free_unused_memory", lambda: freed.append(None))
    recorded = _prepared(torch.OutOfMemoryError("no room"))
    assert recorded.complete
    assert len(freed) == 1


def test_a_failed_attempt_keeps_nothing_from_being_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was computed up to the error would else be there still when it is tried again."""

    class Large:
        """Stands for what a part of a step computes on its way."""

    class Full(HostRecorder):
        def __init__(self) -> None:
            super().__init__()
            self.computed: list[weakref.ref[Large]] = []

        def record(self, function: Callable[[], Tensors]) -> Recording:
            large = Large()
            self.computed.append(weakref.ref(large))
            raise torch.OutOfMemoryError("no room")

    step = _step("encodec_24khz", "encode")
    recorder = Full()
    left: list[object] = []
    monkeypatch.setattr(
        capture,
        "free_unused_memory",
        lambda: left.extend(reference() for reference in recorder.computed),
    )
    with torch.inference_mode():
        Capturing(step, _given(step), recorder).prepare(Variant(False, 2))
    assert len(recorder.computed) == 2
    assert set(left) == {None}


def test_a_capture_that_found_no_memory_is_tried_again_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    variant = Variant(False, 2)
    recorded = _prepared(*[torch.OutOfMemoryError("no room")] * 2)
    assert "no room" in caplog.text
    assert not recorded.complete
    assert recorded.replay_of(variant) is None
    assert recorded.knows(variant)  # for now
    monkeypatch.setattr(capture, "RETRY_SECONDS", 0.0)
    again = _prepared(*[torch.OutOfMemoryError("no room")] * 2)
    assert not again.knows(variant)
    with torch.inference_mode():
        again.prepare(variant)
    assert again.complete


def test_what_cannot_be_recorded_stays_so_and_others_are_not_touched() -> None:
    recorded = _prepared(CaptureError("this operation is not allowed"))
    assert not recorded.complete
    assert recorded.knows(Variant(False, 2))
    with torch.inference_mode():
        recorded.prepare(Variant(False, 8))
    assert recorded.replay_of(Variant(False, 8)) is not None
    assert not recorded.complete


def test_a_step_that_does_not_run_says_why() -> None:
    """And not that it could not be recorded."""
    step = _step("encodec_24khz", "encode")
    given = _given(step)
    given["samples"] = given["samples"].double()
    recorded = Capturing(step, given, HostRecorder())
    given[CARRIED] = given[CARRIED][:, :-1]
    with pytest.raises(RuntimeError, match="split"):
        recorded.prepare(Variant(False, 2))


@contextmanager
def _watched(monkeypatch: pytest.MonkeyPatch, wants: int) -> Iterator[None]:
    """Inside, memory is asked for in vain so many times."""
    counts = iter([7, 7 + wants])
    monkeypatch.setattr(
        torch.cuda, "memory_stats_as_nested_dict", lambda device: {"num_ooms": next(counts)}
    )
    with every_allocation_succeeds(torch.device("cuda")):
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
