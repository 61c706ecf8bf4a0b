"""Uploads that make their decoder take memory."""

import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.target import Target, post_head, wait_for

CASES = Path(__file__).with_name("cases")
MB = 1_000_000


@pytest.mark.parametrize("name", ["mp4-index-20M-samples.m4a", "mp4-index-25M-alac.m4a"])
def test_a_table_that_claims_millions_of_entries_gets_little_memory(
    start: Callable[..., Target], name: str
) -> None:
    service = start()
    file = (CASES / name).read_bytes()
    before = service.use().memory
    with service.watch() as watch, service.client() as client:
        answers = [client.post("/compress", content=file) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {400}
    assert watch.peak.memory - before < 150 * MB
    service.compress_works()


def test_the_kernel_would_end_a_decoder_before_the_server(share: Callable[..., Target]) -> None:
    service = share()
    wait_for(service.decoders)
    scores = [Path(f"/proc/{pid}/oom_score_adj").read_text() for pid in service.decoders()]
    assert {int(score) for score in scores} == {1000}
    assert int(Path(f"/proc/{service.pid}/oom_score_adj").read_text()) < 1000


def test_memory_of_many_such_uploads_that_stall_stays_bounded(
    share: Callable[..., Target],
) -> None:
    service = share()
    file = (CASES / "mp4-index-20M-samples.m4a").read_bytes() + bytes(3 * MB)
    with service.watch() as watch, ExitStack() as stack:
        for _ in range(8):
            _stalled(service, stack, file)
        service.compress_works()
    assert watch.peak.children < 600 * MB
    wait_for(lambda: service.metric("encodec_permits_held") == 0)


def _stalled(service: Target, stack: ExitStack, file: bytes) -> socket.socket:
    """An upload of twice as much, of which only `file` comes."""
    head = post_head("/compress", length=2 * len(file))
    return stack.enter_context(service.connect(head + file))
