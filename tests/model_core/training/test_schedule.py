"""The learning rate rises, stays and falls."""

import pytest

from model_core.training.schedule import learning_rate_factor


def factor(step: int, progress: float) -> float:
    return learning_rate_factor(step, progress, warmup_steps=10, decay_from=0.5, final=0.1)


def test_it_rises_over_the_warm_up() -> None:
    assert [factor(step, 0.0) for step in (0, 4, 9, 10)] == pytest.approx([0.1, 0.5, 1.0, 1.0])
    assert learning_rate_factor(0, 0.0, 0, 0.5, 0.1) == 1.0


def test_it_falls_on_a_cosine_to_its_end() -> None:
    assert factor(100, 0.5) == 1.0
    assert factor(100, 0.75) == pytest.approx(0.55)
    assert factor(100, 1.0) == pytest.approx(0.1)
    assert factor(100, 1.3) == pytest.approx(0.1)
    falling = [factor(100, p / 100) for p in range(50, 101)]
    assert falling == sorted(falling, reverse=True)


def test_it_can_stay_to_the_end() -> None:
    assert learning_rate_factor(100, 1.0, 10, 1.0, 0.1) == 1.0
