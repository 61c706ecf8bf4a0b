"""A real Prometheus with our configuration reads a real, traced service."""

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")

from tests.deploy.observability import PROMETHEUS, loaded, queries
from tests.service.calls import compressed
from tests.service.live import wait_for
from tests.service.otlp import receiving
from tests.service.process import FORK, started
from tests.service.sounds import wav

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="Prometheus is not installed"
)


@dataclass
class Scraped:
    """A service and the Prometheus that reads it."""

    service: httpx.Client
    prometheus: httpx.Client

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API."""
        answer = self.prometheus.get(f"/api/v1/{path}", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]


def configuration(folder: Path, port: int) -> Path:
    """Ours, with the service's address in place of its name and a shorter interval."""
    shutil.copy(PROMETHEUS / "rules.yml", folder)
    content = loaded(PROMETHEUS / "prometheus.yml")
    content["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (job,) = content["scrape_configs"]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(content))
    return file


@contextlib.contextmanager
def prometheus(folder: Path, config: Path) -> Iterator[httpx.Client]:
    """A Prometheus on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
        "--log.level=error",
    ]
    process = subprocess.Popen(command)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        process.kill()
        process.wait()


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/-/ready").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def scraped(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    folder = tmp_path_factory.mktemp("prometheus")
    with receiving() as receiver, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        with (
            started(FORK, weights, "--tracing", "true") as process,
            process.ready() as service,
            prometheus(folder, configuration(folder, process.port())) as client,
        ):
            wait_for(lambda: is_ready(client), 60)
            yield Scraped(service, client)


def test_the_service_is_up_and_its_rules_work(scraped: Scraped) -> None:
    compressed(scraped.service, wav())
    wait_for(lambda: scraped.ask("query", query="up == 1")["result"], 60)

    def states() -> set[str]:
        groups = scraped.ask("rules")["groups"]
        return {rule["health"] for group in groups for rule in group["rules"]}

    wait_for(lambda: states() == {"ok"}, 60)
    firing = scraped.ask("query", query='ALERTS{alertstate="firing"}')["result"]
    assert {alert["metric"]["alertname"] for alert in firing} <= {"EncodecSpoolFull"}


def test_every_query_of_the_dashboard_is_answered(scraped: Scraped) -> None:
    compressed(scraped.service, wav())
    wait_for(lambda: scraped.ask("query", query="encodec_audio_seconds_total > 0")["result"], 60)
    wait_for(lambda: scraped.ask("query", query="rate(encodec_audio_seconds_total[1m])")["result"])
    answered = {query: bool(scraped.ask("query", query=query)["result"]) for query in queries()}
    assert sum(answered.values()) > len(answered) / 2, answered


def test_the_trace_of_a_request_is_found_at_its_latency(scraped: Scraped) -> None:
    answer = scraped.service.post("/compress", content=wav())
    trace_id = answer.headers["traceresponse"].split("-")[1]

    def exemplars() -> set[str]:
        found = scraped.ask(
            "query_exemplars", query="encodec_request_seconds_bucket", start="0", end="9999999999"
        )
        return {one["labels"]["trace_id"] for series in found for one in series["exemplars"]}

    wait_for(lambda: trace_id in exemplars(), 60)
