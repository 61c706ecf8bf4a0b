"""Phases of requests: what their `Server-Timing` says."""

import re

import httpx
import pytest

from service.timings import Timings, note_batch
from tests.service.calls import compressed
from tests.service.sounds import encoded


def phases(answer: httpx.Response) -> dict[str, float]:
    """Milliseconds by name."""
    entries = answer.headers["server-timing"].split(", ")
    found = [re.fullmatch(r"([a-z]+);dur=([0-9]+\.[0-9])", entry) for entry in entries]
    return {match[1]: float(match[2]) for match in found if match is not None}


def test_what_overlaps_counts_once() -> None:
    timings = Timings()
    for begun, ended in ((1.0, 3.0), (2.0, 4.0), (6.0, 7.0)):
        timings.add("queue", begun, ended)
    assert timings.header().startswith("queue;dur=4000.0, total;dur=")


def test_a_phase_may_have_waited_for_less_than_it_lasted() -> None:
    timings = Timings()
    timings.add("receive", 1.0, 9.0, waited=0.5)
    assert timings.header().startswith("receive;dur=500.0, ")


def test_several_works_of_a_request_in_a_batch_are_one_batch_of_it() -> None:
    one, other = Timings(), Timings()
    note_batch([(one, 1.0), (one, 1.5), (other, 1.8), (None, 0.0)], 2.0, 3.0, {})
    assert one.header().startswith("queue;dur=1000.0, batch;dur=1000.0, ")
    assert other.header().startswith("queue;dur=200.0, batch;dur=1000.0, ")
    assert (one.batches, other.batches) == (1, 1)


def test_a_compression_says_its_phases(client: httpx.Client) -> None:
    answer = client.post("/compress", content=encoded("m4a", 2.0))
    found = phases(answer)
    assert list(found)[-1] == "total"
    assert set(found) == {"receive", "permit", "decode", "queue", "batch", "total"}
    assert all(milliseconds <= found["total"] for milliseconds in found.values())


def test_a_decompression_says_what_came_before_its_first_byte(client: httpx.Client) -> None:
    file = compressed(client, encoded("m4a", 2.0))
    found = phases(client.post("/decompress", content=file))
    assert set(found) == {"receive", "permit", "queue", "batch", "total"}


@pytest.mark.parametrize("path", ["/health/live", "/nothing", "/compress"])
def test_every_answer_says_how_long_it_took(client: httpx.Client, path: str) -> None:
    assert "total" in phases(client.get(path))
