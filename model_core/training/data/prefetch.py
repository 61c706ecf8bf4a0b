"""Draws the next batches in a thread during the training step."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from typing import Self

from torch import Tensor

from .sampler import ClipSampler


class Prefetch:
    """Iterates endlessly over `(step, batch [size, C, T])` from `first_step` on.

    Batches come from `sampler.batch(step, size)`, whose errors are raised here. A context manager,
    or call `close`. `ahead` is the number of batches drawn in advance; `pinned` puts them into
    page-locked memory, from which CUDA copies while it computes.
    """

    def __init__(
        self,
        sampler: ClipSampler,
        size: int,
        first_step: int,
        ahead: int = 2,
        pinned: bool = False,
    ) -> None:
        self._sampler, self._size, self._pinned = sampler, size, pinned
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        self._steps = count(first_step)
        self._waiting: deque[Future[tuple[int, Tensor]]] = deque()
        for _ in range(max(1, ahead)):
            self._submit()

    def _submit(self) -> None:
        self._waiting.append(self._thread.submit(self._draw, next(self._steps)))

    def _draw(self, step: int) -> tuple[int, Tensor]:
        batch = self._sampler.batch(step, self._size)
        return step, batch.pin_memory() if self._pinned else batch

    def __iter__(self) -> Iterator[tuple[int, Tensor]]:
        while self._waiting:
            drawn = self._waiting.popleft().result()
            self._submit()
            yield drawn

    def close(self) -> None:
        """Ends the thread and the iteration; may be called twice."""
        self._waiting.clear()
        self._thread.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()
