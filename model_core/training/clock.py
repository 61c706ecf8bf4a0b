"""The time that a run has taken and whether it must stop, the same in all its processes."""

import math
import signal
import threading
import time
from types import FrameType
from typing import Self

import torch

from .. import distrib

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class RunClock:
    """The first process's time; SIGTERM and Ctrl-C end the run after the current step.

    `spent` is the time of earlier starts of the run, `stop_after` the limit of this one, both in
    seconds. A context manager: inside, signals are caught (in the main thread, where Python
    delivers them); a second signal has its previous effect.
    """

    def __init__(self, spent: float, stop_after: float | None, device: torch.device):
        self._before = spent
        self._limit = math.inf if stop_after is None else stop_after
        self._device = device
        self._began = time.monotonic()
        self._passed = 0.0
        self._asked = False
        self.interrupted = False  # by a signal, as of the last `tick`
        self._handlers: dict[int, object] = {}

    def tick(self) -> None:
        """Read the clock; all processes must call it at the same point of a step."""
        passed = math.inf if self._asked else time.monotonic() - self._began
        if distrib.is_distributed():
            shared = torch.tensor([passed], dtype=torch.float64, device=self._device)
            distrib.broadcast_tensors([shared])
            passed = float(shared)
        if math.isinf(passed):
            self._limit, self.interrupted = 0.0, True
        else:
            self._passed = passed

    @property
    def spent(self) -> float:
        """Seconds of the whole run, as of the last `tick`."""
        return self._before + self._passed

    @property
    def over(self) -> bool:
        """Whether this start must end, as of the last `tick`."""
        return self._passed >= self._limit

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._stop) for number in SIGNALS}
        return self

    def __exit__(self, *raised: object) -> None:
        self._restore()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        self._restore()

    def _restore(self) -> None:
        while self._handlers:
            number, handler = self._handlers.popitem()
            signal.signal(number, handler)  # type: ignore[arg-type]
