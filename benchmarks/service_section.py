"""Section `service`: our service beside a plain wrapper around the reference, as processes."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .footprint import Fit
from .models import seeded_model
from .plan import DEFAULT_BANDWIDTH, Plan
from .results import Row, Section
from .serving import beside, decoders, load, long, servers, soak
from .serving.servers import ServerError
from .serving.trial import Trial
from .table import Table

_PARTS = {part.KIND: part for part in (load, long, decoders, soak, beside)}
_STRESS = (decoders.KIND, soak.KIND, beside.KIND)


def run(plan: Plan, section: Section) -> Iterator[Row]:
    """Rows of five kinds for each model, of two for a model that is not stressed.

    Raises `ServerError` if our service does not start.
    """
    fit = Fit()
    for name in plan.models:
        model = seeded_model(name)
        with ExitStack() as stack:
            running = [stack.enter_context(servers.ours(model, plan.backend))]
            try:
                running.append(stack.enter_context(servers.plain(model, DEFAULT_BANDWIDTH)))
            except ServerError as error:
                section.note(f"the {servers.PLAIN} is left out: {error}")
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            trial = Trial(plan, section, name, running, folder, fit)
            for kind, part in _PARTS.items():
                if kind not in _STRESS or name in plan.stressed_models:
                    yield from part.rows(trial)


def table_of(row: Row) -> Table:
    """The table of a row."""
    return _PARTS[row["kind"]].TABLE


def cells(row: Row) -> list[Any]:
    """A row as its table prints it."""
    return _PARTS[row["kind"]].cells(row)
