"""The parts of a run by name."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from . import (
    gpu_section,
    lm_section,
    memory_section,
    packing,
    precision_section,
    service_section,
    speed,
    start_section,
)
from .plan import Plan
from .results import Row, Section
from .table import Table


@dataclass(frozen=True)
class Part:
    """`run` yields rows as they are measured; `cells` formats a row for its table."""

    title: str
    run: Callable[[Plan, Section], Iterator[Row]]
    table_of: Callable[[Row], Table]
    cells: Callable[[Row], list[Any]]


PARTS = {
    "speed": Part(
        "Speed: the same weights and the same work in one process, taking turns",
        speed.run,
        lambda row: speed.TABLE,
        speed.cells,
    ),
    "memory": Part(
        "Memory: each in a process of its own",
        memory_section.run,
        lambda row: memory_section.TABLE,
        memory_section.cells,
    ),
    "service": Part(
        "Service: ours beside a plain FastAPI wrapper around the reference",
        service_section.run,
        service_section.table_of,
        service_section.cells,
    ),
    "lm": Part(
        "Language model: files with entropy coding, in one process on one thread, taking turns",
        lm_section.run,
        lambda row: lm_section.TABLE,
        lm_section.cells,
    ),
    "packing": Part("Packing", packing.run, lambda row: packing.TABLE, packing.cells),
    "precision": Part(
        "Precision: what TF32 and bfloat16 change",
        precision_section.run,
        lambda row: precision_section.TABLE,
        precision_section.cells,
    ),
    "start": Part(
        "Start: a command on a short clip and the service until it is ready, as real processes",
        start_section.run,
        lambda row: start_section.TABLE,
        start_section.cells,
    ),
    "gpu": Part(
        "GPU: the core alone, beside the reference on the same device",
        gpu_section.run,
        lambda row: gpu_section.TABLE,
        gpu_section.cells,
    ),
}
DEFAULT = ("speed", "memory")
