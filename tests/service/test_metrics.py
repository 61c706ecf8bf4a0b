"""What the metrics count, by their names in `/metrics`."""

import pytest

from model_core.codec.work import Task
from service.metrics import Metrics
from tests.service.inference.queueing import CUDA, same, task


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_used_and_empty_rows_of_batches_on_a_device_are_counted() -> None:
    metrics = Metrics()
    on_device = task(same, batch=4, device=CUDA)
    metrics.batch_started(on_device, [0.1] * 4)
    metrics.batch_started(on_device, [0.1] * 2)
    metrics.batch_started(task(same, batch=4), [0.1])  # batches on the CPU have no fixed rows
    assert value(metrics, "encodec_batch_rows_total", task="encode", state="used") == 6
    assert value(metrics, "encodec_batch_rows_total", task="encode", state="empty") == 2
    assert value(metrics, "encodec_batch_size_count", task="encode") == 3
    assert value(metrics, "encodec_queue_wait_seconds_count", task="encode") == 7
    assert value(metrics, "encodec_queue_wait_seconds_sum", task="encode") == pytest.approx(0.7)


def test_audio_is_counted_by_the_plain_name_of_its_model() -> None:
    """Not by its weights: files of any weights may come."""
    metrics = Metrics()
    for model in ("encodec_24khz:12345678", "encodec_24khz"):
        metrics.batch_done(Task("decode", model, 1, lambda i, _: i), 1.5, seconds=0.1)
    labels = {"task": "decode", "model": "encodec_24khz"}
    assert value(metrics, "encodec_audio_seconds_total", **labels) == 3


def test_a_model_is_ready_or_not() -> None:
    metrics = Metrics()
    metrics.model_ready("encodec_24khz", False)
    assert value(metrics, "encodec_model_ready", model="encodec_24khz") == 0
    metrics.model_ready("encodec_24khz")
    assert value(metrics, "encodec_model_ready", model="encodec_24khz") == 1


def test_the_fill_of_a_batch_is_a_share_of_the_most_it_may_have() -> None:
    metrics = Metrics()
    for waiting in (1, 4, 6):
        metrics.batch_started(task(same, batch=4), [0.1] * waiting)
    labels = {"task": "encode"}
    assert value(metrics, "encodec_batch_fill_count", **labels) == 3
    assert value(metrics, "encodec_batch_fill_sum", **labels) == pytest.approx(2.25)


def test_the_speed_follows_the_last_batches() -> None:
    """Weighted by their time, so that short ones are no jumps."""
    metrics = Metrics()
    encode = task(same)
    for _ in range(200):
        metrics.batch_done(encode, 3.0, seconds=0.1)
    speed = value(metrics, "encodec_real_time_factor", task="encode")
    assert speed == pytest.approx(30, rel=0.01)
    for _ in range(200):
        metrics.batch_done(encode, 3.0, seconds=0.2)
    speed = value(metrics, "encodec_real_time_factor", task="encode")
    assert speed == pytest.approx(15, rel=0.01)
