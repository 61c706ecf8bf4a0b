"""How many rows are chosen, by what engines of so many rows do."""

import weakref
from collections.abc import Callable

import pytest
import torch

from model_core.engine import Engine, EngineOptions, FixedEngine
from model_core.engine.fixed import row_count
from model_core.engine.fixed.row_count import choose_rows, fewest_nearly_as_fast
from tests.model_core.engine.narrow import narrow_model


def test_the_fewest_that_are_nearly_as_fast() -> None:
    assert fewest_nearly_as_fast({8: 100.0, 32: 110.0, 128: 120.0}) == 8
    assert fewest_nearly_as_fast({8: 100.0, 32: 290.0, 128: 300.0}) == 32
    assert fewest_nearly_as_fast({8: 100.0, 32: 200.0, 128: 400.0}) == 128
    assert fewest_nearly_as_fast({8: 100.0, 32: 50.0}) == 8


def _maker(no_memory_from: int) -> Callable[[int], Engine]:
    model = narrow_model("encodec_24khz")

    def make(rows: int) -> Engine:
        if rows >= no_memory_from:
            raise torch.OutOfMemoryError("no room")
        return FixedEngine(model, "cpu", EngineOptions(max_batch=rows))

    return make


def test_what_finds_no_memory_is_left_out() -> None:
    assert choose_rows(_maker(no_memory_from=2), (1, 2, 4)) == 1
    assert choose_rows(_maker(no_memory_from=4), (1, 2, 4)) in (1, 2)
    with pytest.raises(torch.OutOfMemoryError):
        choose_rows(_maker(no_memory_from=1), (1, 2))


def test_what_others_have_taken_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor what the choice before has taken, which is given back first."""
    made: list[weakref.ref[Engine]] = []
    alive: list[int] = []
    make = _maker(no_memory_from=100)

    def noted(rows: int) -> Engine:
        engine = make(rows)
        made.append(weakref.ref(engine))
        alive.append(sum(reference() is not None for reference in made))
        return engine

    def share(device: torch.device) -> float:
        return 0.5 + 0.05 * sum(reference() is not None for reference in made)

    monkeypatch.setattr(row_count, "_memory_share", share)
    choose_rows(noted, (1, 2, 4))
    assert alive == [1, 1, 1]
