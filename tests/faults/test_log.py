"""What hostile requests can write into the log of the console."""

import re
import time
from pathlib import Path

import httpx

from tests.faults.target import wait_for
from tests.service.live import NO_TLS
from tests.service.process import FORK, started


def test_control_characters_of_a_path_are_escaped(weights: Path) -> None:
    with started(FORK, weights, "--log-format", "console") as process:
        wait_for(lambda: any("listening" in line for line in process.lines))
        found = re.search(r"127\.0\.0\.1:\d+", "".join(process.lines))
        assert found is not None
        with httpx.Client(base_url=f"http://{found[0]}", timeout=20, verify=NO_TLS) as client:
            process.wait_for(lambda: client.get("/health/live").status_code == 200)
            client.get("/%1b%5b31mred%07%9b%0d%0afake")
        wait_for(lambda: any("fake" in line for line in process.lines))
        time.sleep(0.1)
    logged = "".join(process.lines)
    assert "red" in logged
    for character in "\x07\x9b\r\x1b":
        assert character not in logged


def test_an_open_service_on_all_addresses_says_so(weights: Path) -> None:
    for host, said in (("127.0.0.1", False), ("0.0.0.0", True)):
        flags = ("--host", host, "--log-format", "json")
        with started(FORK, weights, *flags) as process:
            wait_for(lambda: any("listening" in line for line in process.lines))
            assert any("no API key" in line for line in process.lines) is said
