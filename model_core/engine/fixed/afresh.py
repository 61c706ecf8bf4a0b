"""Where cuDNN has no algorithm in mind yet."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def afresh(function: Callable[[], T]) -> T:
    """What `function` returns, called in a thread of its own.

    For each shape, torch keeps cuDNN's algorithm for as long as a thread lives, and in that thread
    alone: the one that a search was not asked to find, too, and the one that had to do because
    there was no memory for a better one.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="afresh") as thread:
        return thread.submit(function).result()
