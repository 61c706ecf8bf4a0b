"""The compose file of replicas: valid by the compose specification, and true to its parts."""

import re
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml

from service.inference.scheduler import PATIENCE
from service.settings import Settings

ROOT = Path(__file__).parents[2]
BASE = ROOT / "docker-compose.yml"
REPLICAS = ROOT / "docker-compose.replicas.yml"
PROXY = (ROOT / "deploy" / "proxy" / "haproxy.cfg").read_text()


class Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads `!reset VALUE`, with which compose drops what was extended, as VALUE."""


Loader.add_constructor("!reset", lambda loader, node: loader.construct_sequence(node))


def compose(path: Path) -> dict[str, Any]:
    """The file with the defaults of its variables."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", path.read_text())
    found: dict[str, Any] = yaml.load(text, Loader)
    return found


@pytest.fixture
def services() -> dict[str, Any]:
    found: dict[str, Any] = compose(REPLICAS)["services"]
    return found


@pytest.mark.parametrize("path", [BASE, REPLICAS], ids=lambda path: path.name)
def test_follows_the_specification(path: Path) -> None:
    content = compose(path)
    content = {name: value for name, value in content.items() if not name.startswith("x-")}
    read = compose_spec.PyCompose.from_yaml(yaml.safe_dump(content))
    assert set(read.service_names()) == set(content["services"])


def test_a_wrong_field_would_be_found() -> None:
    content = compose(REPLICAS)
    content["services"]["proxy"]["volume"] = []
    with pytest.raises(Exception, match="volume"):
        compose_spec.PyCompose.from_yaml(yaml.safe_dump(content))


def test_replicas_are_the_service_on_the_cpu_without_a_port_of_their_own(
    services: dict[str, Any],
) -> None:
    replica = services["encodec"]
    assert replica["extends"] == {"file": BASE.name, "service": "encodec"}
    assert replica["extends"]["service"] in compose(BASE)["services"]
    assert "ports: !reset []" in REPLICAS.read_text()
    assert replica["ports"] == []
    assert int(replica["deploy"]["replicas"]) >= 2
    assert set(compose(REPLICAS)["volumes"]) == set(compose(BASE)["volumes"])


def test_replicas_have_the_same_weights(services: dict[str, Any]) -> None:
    assert services["encodec"]["environment"]["ENCODEC_WEIGHTS"] != "auto"


def test_requests_are_given_time_to_finish(services: dict[str, Any]) -> None:
    replica = services["encodec"]
    delay = float(replica["environment"]["ENCODEC_SHUTDOWN_DELAY"])
    least = delay + Settings.model_construct().shutdown_grace + PATIENCE
    assert int(replica["stop_grace_period"].removesuffix("s")) >= least


def test_the_proxy_notices_before_a_replica_refuses(services: dict[str, Any]) -> None:
    found = re.search(r"check inter (\d+)s fall (\d+)", PROXY)
    assert found is not None
    notices = int(found[1]) * (int(found[2]) + 1)
    assert float(services["encodec"]["environment"]["ENCODEC_SHUTDOWN_DELAY"]) > notices


def test_the_proxy_reads_the_file_that_is_tested(services: dict[str, Any]) -> None:
    proxy = services["proxy"]
    (volume,) = proxy["volumes"]
    source, _, mode = volume.split(":")
    assert (ROOT / source).read_text() == PROXY
    assert mode == "ro"
    assert set(re.findall(r"\$\{(\w+)", PROXY)) == set(proxy["environment"])
    name, port = proxy["environment"]["ENCODEC_REPLICAS_AT"].split(":")
    assert name in services
    assert port == compose(BASE)["services"]["encodec"]["environment"]["ENCODEC_PORT"]


def test_the_proxy_has_no_rights_it_does_not_need(services: dict[str, Any]) -> None:
    proxy = services["proxy"]
    assert proxy["read_only"] is True
    assert proxy["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in proxy["security_opt"]
    assert all(port.startswith("127.0.0.1:") for port in proxy["ports"])
