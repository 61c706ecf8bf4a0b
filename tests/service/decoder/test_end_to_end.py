"""The decoding processes of a server that is a process of its own."""

import os
import signal
from pathlib import Path

import httpx
import pytest

from tests.service.decoder.processes import children
from tests.service.process import FORK, Process, started
from tests.service.sounds import wav


def family(process: Process) -> tuple[int, int]:
    """The fork server and the one child that waits, once both are there."""
    found: list[tuple[int, int]] = []

    def there() -> bool:
        for fork_server in children(process.popen.pid):
            found.extend((fork_server, child) for child in children(fork_server))
        return bool(found)

    process.wait_for(there)
    return found[0]


def runs(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] not in "ZX"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("stopped", [False, True])
def test_they_end_with_the_server(weights: Path, number: signal.Signals, stopped: bool) -> None:
    with started(FORK, weights, "--models", "encodec_24khz") as process, process.ready():
        fork_server, child = family(process)
        if stopped:
            os.kill(fork_server, signal.SIGSTOP)
        process.popen.send_signal(number)
        process.wait_for(lambda: not runs(fork_server) and not runs(child))
        assert process.wait() == (0 if number == signal.SIGTERM else -number)


def test_a_fork_server_that_hangs_costs_no_request(weights: Path) -> None:
    with started(FORK, weights, "--models", "encodec_24khz") as process:
        with process.ready() as client:
            before = client.post("/compress", content=wav(1)).content
            fork_server, _ = family(process)
            os.kill(fork_server, signal.SIGSTOP)
            answers = [client.post("/compress", content=wav(1)) for _ in range(3)]
            assert [answer.status_code for answer in answers] == [httpx.codes.OK] * 3
            assert {answer.content for answer in answers} == {before}
            assert not Path(f"/proc/{fork_server}").exists()
        assert any("hangs" in str(line["event"]) for line in process.logged())
