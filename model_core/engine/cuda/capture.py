"""The parts of a step: recorded once, replayed for each batch, and run kernel by kernel where
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

# Before a capture, so that libraries have chosen their algorithms and taken their workspaces.
_WARM_UPS = 3

Replay = Callable[[int], Tensors]
"""A whole step, given the length of the longest run of rows that follow one another."""

RETRY_SECONDS = 60.0
"""After which a capture that ran out of memory is tried again."""


class CaptureError(RuntimeError):
    """A step that runs cannot be recorded."""


@dataclass(frozen=True)
class Recording:
    """`replay` runs what was recorded once more, into `outputs`."""

    replay: Callable[[], None]
    outputs: Tensors


class Recorder(Protocol):
    """Makes recordings of functions that do the same work each time."""

    def in_new_thread(self, function: Callable[[], T]) -> T:
        """Call it where the algorithms of earlier attempts are not remembered."""

    def launch(self, function: Callable[[], object]) -> None:
        """Call it and wait for what it launches."""

    def record(self, function: Callable[[], Tensors]) -> Recording:
        """A recording of `function`, which need not compute anything now. Raises `CaptureError`,
        and `torch.OutOfMemoryError` where memory is short."""

    def release(self) -> None:
        """Give back memory that nothing uses."""


class Capturing:
    """The recordings of a step on the tensors `given`. One thread at a time prepares; any may
    replay."""

    def __init__(self, step: Step, given: Tensors, recorder: Recorder):
        self._step = step
        self._given = given
        self._recorder = recorder
        self._beginnings: dict[bool, tuple[Recording, Recording]] = {}  # first and again, by whole
        self._replays: dict[Variant, Replay | None] = {}
        self._retries: dict[Variant, float] = {}  # when to try again, after running out of memory

    @property
    def complete(self) -> bool:
        """Whether all that was prepared is recorded."""
        return bool(self._replays) and all(self._replays.values())

    def knows(self, variant: Variant) -> bool:
        """Whether there is nothing to prepare for now."""
        due = self._retries.get(variant)
        return variant in self._replays and (due is None or time.monotonic() < due)

    def replay_of(self, variant: Variant) -> Replay | None:
        """None for a variant whose kernels are launched one by one."""
        return self._replays.get(variant)

    def prepare(self, variant: Variant) -> None:
        """Record the variant, unless that is done. Raises what a plain run of it raises."""
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
        """A replay, if the variant can be recorded, and the message if memory ran out. The error
        itself is not returned: it would keep alive all that was computed before it."""
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
        """A recording of `function`, which reads what those before it write."""

        def run() -> None:
            for recording in before:
                recording.replay()
            function()

        for _ in range(_WARM_UPS):
            self._recorder.launch(run)
        return self._recorder.record(function)


def _warn(variant: Variant, why: str) -> None:
    logger.warning("no CUDA graph of %s, its kernels run one by one: %s", variant, why)
