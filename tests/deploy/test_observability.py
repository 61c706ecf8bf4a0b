"""deploy/observability: the compose overlay, the alerts and the dashboard, against promtool and the
metrics of a real service."""

import itertools
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.deploy.observability import (
    DASHBOARD,
    FOLDER,
    PROMETHEUS,
    ROOT,
    loaded,
    metrics_of,
    panels,
    promtool,
    queries,
    rules,
)
from tests.service.calls import compressed
from tests.service.process import FORK, started
from tests.service.sounds import wav

OVERLAY = FOLDER / "compose.yaml"

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed"
)


@pytest.fixture(scope="module")
def overlay() -> dict[str, Any]:
    return loaded(OVERLAY)


@pytest.fixture(scope="module")
def service(weights: Path) -> Iterator[httpx.Client]:
    """One that has done some work."""
    with started(FORK, weights) as process, process.ready() as client:
        file = compressed(client, wav())
        assert client.post("/decompress", content=file).status_code == 200
        yield client


def test_the_overlay_adds_to_the_services_that_there_are(overlay: dict[str, Any]) -> None:
    base = loaded(ROOT / "docker-compose.yml")
    beside = {"prometheus", "grafana", "jaeger"}
    assert set(overlay["services"]) == set(base["services"]) | beside
    for name in base["services"]:
        environment = overlay["services"][name]["environment"]
        assert environment["ENCODEC_TRACING"] == "true"
        host = re.fullmatch(r"http://(\w+):4318", environment["OTEL_EXPORTER_OTLP_ENDPOINT"])
        assert host is not None
        assert host[1] in overlay["services"]


def test_what_is_beside_has_a_version_and_is_seen_on_this_machine_alone(
    overlay: dict[str, Any],
) -> None:
    for name in ("prometheus", "grafana", "jaeger"):
        service = overlay["services"][name]
        assert re.fullmatch(r"\$\{\w+_IMAGE:-[\w./-]+:v?\d+\.\d+\.\d+\}", service["image"])
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert service["cap_drop"] == ["ALL"]


def test_every_mounted_file_is_there(overlay: dict[str, Any]) -> None:
    mounts = [
        mount for service in overlay["services"].values() for mount in service.get("volumes", ())
    ]
    assert mounts
    for mount in mounts:
        source = mount.split(":")[0]
        assert source in overlay["volumes"] or (ROOT / source).is_dir()


def test_prometheus_scrapes_the_services_of_the_compose_file() -> None:
    base = loaded(ROOT / "docker-compose.yml")
    (job,) = loaded(PROMETHEUS / "prometheus.yml")["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert set(found["names"]) == set(base["services"])
    assert {str(found["port"])} == {
        service["environment"]["ENCODEC_PORT"] for service in base["services"].values()
    }


def test_grafana_finds_its_sources_and_the_dashboard(overlay: dict[str, Any]) -> None:
    folder = FOLDER / "grafana" / "provisioning"
    sources = loaded(folder / "datasources" / "datasources.yml")["datasources"]
    for source in sources:
        host = re.fullmatch(r"http://(\w+):\d+", source["url"])
        assert host is not None
        assert host[1] in overlay["services"]
    by_uid = {source["uid"]: source for source in sources}
    (link,) = by_uid["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert link["datasourceUid"] in by_uid
    (provider,) = loaded(folder / "dashboards" / "dashboards.yml")["providers"]
    mounted = [
        mount.split(":")[:2]
        for mount in overlay["services"]["grafana"]["volumes"]
        if mount.startswith("./")
    ]
    assert [str(DASHBOARD.parent.relative_to(ROOT)), provider["options"]["path"]] in [
        [source.removeprefix("./"), target] for source, target in mounted
    ]


@needs_promtool
def test_the_configuration_and_the_rules_are_valid() -> None:
    promtool("check", "config", str(PROMETHEUS / "prometheus.yml"))
    promtool("check", "rules", "--lint=all", "--lint-fatal", str(PROMETHEUS / "rules.yml"))


@needs_promtool
def test_the_alerts_are_raised_when_they_should_be() -> None:
    promtool("test", "rules", str(PROMETHEUS / "rules.test.yml"))


def test_every_alert_is_tested_and_says_what_to_do() -> None:
    alerts = [rule for rule in rules() if "alert" in rule]
    tests = loaded(PROMETHEUS / "rules.test.yml")["tests"]
    raised = {
        case["alertname"]
        for test in tests
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert raised == {rule["alert"] for rule in alerts}
    for rule in alerts:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}


@needs_promtool
def test_every_query_of_the_dashboard_is_valid(tmp_path: Path) -> None:
    """Each as a rule: promtool has no other way to read one."""
    numbered = [
        {"record": f"panel:number:{number}", "expr": query}
        for number, query in enumerate(queries())
    ]
    assert len(numbered) > 30
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": numbered}]}))
    promtool("check", "rules", str(file))


def test_queries_name_only_metrics_that_the_service_has(service: httpx.Client) -> None:
    exposed = set(re.findall(r"^# TYPE (\S+)", service.get("/metrics").text, re.MULTILINE))
    parts = {f"{name}{part}" for name in exposed for part in ("", "_bucket", "_sum", "_count")}
    named = set().union(*map(metrics_of, queries()))
    named |= set().union(*(metrics_of(rule["expr"]) for rule in rules()))
    assert "encodec_request_seconds_bucket" in named
    assert named <= parts


def test_panels_have_a_title_a_unit_and_a_place_of_their_own() -> None:
    found = panels()
    assert len({panel["id"] for panel in found}) == len(found)
    for panel in found:
        assert panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    for one, other in itertools.combinations([panel["gridPos"] for panel in found], 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart
        assert one["x"] + one["w"] <= 24


def test_the_latency_panel_shows_exemplars() -> None:
    (latency,) = [panel for panel in panels() if panel["title"] == "Latency"]
    assert all(target["exemplar"] for target in latency["targets"])
