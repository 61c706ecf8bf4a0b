"""The service on Ray Serve: its settings, how many replicas there are, and a real cluster."""

import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from benchmarks.replicas.clients import mixed_requests, send
from benchmarks.replicas.on_serve import OnServe, on_serve
from tests.deploy.ports import free_ports
from tests.service.calls import compressed
from tests.service.live import Live, wait_for
from tests.service.sounds import wav

if find_spec("ray") is None:
    pytest.skip("the extra `ray` is not installed", allow_module_level=True)

from service.cluster import AUDIO_SECONDS, ClusterSettings, ReplicasForAudio, application, main
from service.settings import Settings

KIB = 1 << 10
_PAUSE = 0.5  # s between two requests of a client


def settings(**given: Any) -> ClusterSettings:
    return ClusterSettings(device="cpu", weights="bundled", **given)


def replica_settings(given: ClusterSettings) -> Settings:
    """What a replica of an application is made with."""
    (found,) = application(given)._bound_deployment.init_args
    assert isinstance(found, Settings)
    return found


def wanted(audio: list[float], requests: float) -> int:
    """Replicas of 1000 seconds of audio or 32 requests each."""
    measured = {AUDIO_SECONDS: {str(i): seconds for i, seconds in enumerate(audio)}}
    context: Any = SimpleNamespace(aggregated_metrics=measured, total_num_requests=requests)
    number, state = ReplicasForAudio(1000, 32)(context)
    assert state == {}
    return number


def test_a_replica_has_the_threads_that_it_reserves() -> None:
    assert replica_settings(settings(replica_cpus=4)).threads == 4
    assert replica_settings(settings(replica_cpus=0.5)).threads == 1
    assert replica_settings(settings(replica_cpus=4, threads=2)).threads == 2


def test_a_replica_has_the_settings_that_were_given() -> None:
    found = replica_settings(settings(max_requests=7, replica_gpus=0.5))
    assert found.max_requests == 7
    assert type(found) is Settings


def test_fewer_replicas_at_most_than_at_least_are_refused() -> None:
    with pytest.raises(ValueError, match="max_replicas"):
        settings(min_replicas=3, max_replicas=2)


def test_replicas_follow_the_audio_and_the_requests() -> None:
    assert wanted([], 0) == 0  # Ray Serve keeps the least number
    assert wanted([900.0, 0.0], 3) == 1
    assert wanted([2500.0, 600.0], 3) == 4
    assert wanted([10.0], 65) == 3


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--max-replicas", "none"], "--max-replicas: "),
        (["--min-replicas", "3"], ": max_replicas is less than min_replicas"),
    ],
)
def test_a_wrong_setting_ends_with_2(
    flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(flags)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.fixture(scope="module")
def cluster(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnServe]:
    flags = ["--weights", str(weights), "--device", "cpu", "--models", "encodec_24khz"]
    with on_serve(2, free_ports(2), tmp_path_factory.mktemp("log"), flags) as found:
        yield found


@pytest.mark.timeout(600)
def test_answers_are_those_of_the_service_alone(cluster: OnServe, server: Live) -> None:
    with server.client() as alone, httpx.Client(base_url=cluster.url, timeout=60) as client:
        file = compressed(client, wav(0.5))
        assert file == compressed(alone, wav(0.5))
        audio = client.post("/decompress", content=file)
        assert audio.content == alone.post("/decompress", content=file).content
        wrong = client.post("/compress?bandwidth=7", content=wav(0.5))
        assert (wrong.status_code, wrong.json()["code"]) == (422, "unsupported_bandwidth")
        assert client.get("/health/ready").status_code == 200


@pytest.mark.timeout(600)
def test_an_answer_may_come_before_the_end_of_the_body(cluster: OnServe) -> None:
    address = "127.0.0.1", int(cluster.url.rpartition(":")[2])
    with socket.create_connection(address, timeout=60) as connection:
        head = b"POST /decompress HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n"
        connection.sendall(head + b"no ecdc!" * 25_000)
        assert connection.recv(12) == b"HTTP/1.1 400"


@pytest.mark.timeout(600)
def test_a_replica_that_dies_is_replaced(cluster: OnServe) -> None:
    dead = cluster.pids[0]
    os.kill(dead, 9)

    def is_replaced() -> bool:
        pids = cluster.pids
        return dead not in pids and len(pids) == 2

    wait_for(is_replaced, 120, every=0.3)  # a look at all threads of Ray takes long


@pytest.mark.timeout(600)
def test_all_replicas_are_replaced_without_a_failed_request(cluster: OnServe) -> None:
    requests = [r for r in mixed_requests(cluster.url) if len(r.body) < 128 * KIB]
    ended = threading.Event()

    with ThreadPoolExecutor(1) as threads:
        load = threads.submit(send, cluster.url, requests, 4, ended.is_set, _PAUSE)
        try:
            cluster.update()
        finally:
            ended.set()
        tally = load.result()
    assert tally.wrong == []
    assert tally.counts["right"]
    assert len(cluster.pids) == 2
