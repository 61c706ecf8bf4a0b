"""The parts of a step: recorded once and replayed for each batch, or run kernel by kernel if
recording fails."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch

from .steps import Step, Tensors, Variant

T = TypeVar("T")
logger = logging.getLogger(__name__)

# Before a capture, so that libraries choose their algorithms and allocate their workspaces.
_WARM_UPS = 3

Replay = Callable[[int], Tensors]
"""A whole step; its argument is the length of the longest run of rows of one stream."""

RETRY_SECONDS = 60.0
"""Seconds after which a capture that ran out of memory is tried again."""


class CaptureError(RuntimeError):
    """The step runs but cannot be recorded."""


@dataclass(frozen=True)
class Recording:
    """`replay` runs the recorded work again and writes to `outputs`."""

    replay: Callable[[], None]
    outputs: Tensors


class Recorder(Protocol):
    """Records functions that do the same work at every call."""

    def in_new_thread(self, function: Callable[[], T]) -> T:
        """Call it in a thread that does not remember the algorithms of earlier attempts."""

    def launch(self, function: Callable[[], object]) -> None:
        """Call it and wait for the kernels that it launches."""

    def record(self, function: Callable[[], Tensors]) -> Recording:
        """A recording of `function`, which may compute nothing yet. Raises `CaptureError`, and
        `torch.OutOfMemoryError` if memory is short."""

    def release(self) -> None:
        """Free unused memory."""


class Capturing:
    """The recordings of a step on the tensors `given`. Only one thread at a time may prepare;
    any thread may replay."""

    def __init__(self, step: Step, given: Tensors, recorder: Recorder):
        self._step = step
        self._given = given
        self._recorder = recorder
        self._beginnings: dict[bool, tuple[Recording, Recording]] = {}  # first and again, by whole
        self._replays: dict[Variant, Replay | None] = {}
        self._retries: dict[Variant, float] = {}  # when to try again, after running out of memory

    @property
    def complete(self) -> bool:
        """Whether every prepared variant is recorded."""
        return bool(self._replays) and all(self._replays.values())

    def knows(self, variant: Variant) -> bool:
        """Whether there is nothing to prepare now."""
        due = self._retries.get(variant)
        return variant in self._replays and (due is None or time.monotonic() < due)

    def replay_of(self, variant: Variant) -> Replay | None:
        """The replay; None for a variant whose kernels are launched one by one."""
        return self._replays.get(variant)

    def prepare(self, variant: Variant) -> None:
        """Record the variant if it is not yet recorded. Raises what a plain run of it raises."""
        if self.knows(variant):
            return
        self._retries.pop(variant, None)
        replay, shortage = self._attempt(variant)
        if shortage is not None:
            self._recorder.release()
            replay, shortage = self._attempt(variant)
        if shortage is not None:
            self._recorder.release()
            self._retries[variant] = time.monotonic() + RETRY_SECONDS
            _warn(variant, shortage)
        self._replays[variant] = replay

    def _attempt(self, variant: Variant) -> tuple[Replay | None, str | None]:
        """A replay, if the variant can be recorded, and the message if memory ran out. It does not
        return the error itself, which would keep all earlier tensors alive."""
        try:
            return self._recorder.in_new_thread(lambda: self._recorded(variant)), None
        except torch.OutOfMemoryError as error:
            return None, str(error)
        except CaptureError as error:
            _warn(variant, str(error))
            return None, None

    def _recorded(self, variant: Variant) -> Replay:
        if variant.whole not in self._beginnings:
            self._beginnings[variant.whole] = self._begun(variant.whole)
        first, again = self._beginnings[variant.whole]
        held = first.outputs | again.outputs
        last = self._record(lambda: self._step.last(held, variant), first, again)

        def replay(longest: int) -> Tensors:
            first.replay()
            for _ in range(longest):
                again.replay()
            last.replay()
            return last.outputs

        return replay

    def _begun(self, whole: bool) -> tuple[Recording, Recording]:
        first = self._record(lambda: self._step.first(self._given, whole))
        return first, self._record(lambda: self._step.again(first.outputs), first)

    def _record(self, function: Callable[[], Tensors], *before: Recording) -> Recording:
        """A recording of `function`, which reads the outputs of the recordings before it."""

        def run() -> None:
            for recording in before:
                recording.replay()
            function()

        for _ in range(_WARM_UPS):
            self._recorder.launch(run)
        return self._recorder.record(function)


def _warn(variant: Variant, why: str) -> None:
    logger.warning("no CUDA graph of %s, its kernels run one by one: %s", variant, why)
