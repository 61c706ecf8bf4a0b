"""The compose file: one service on the CPU by default, one on a GPU when asked for."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.inference.scheduler import PATIENCE
from service.settings import ENV_PREFIX, Settings

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "docker" / "Dockerfile"
SERVICES = ("encodec", "encodec-cuda")
BUILDING = {"WHEEL_INDEX", "CUDA_WHEEL_INDEX"}


def in_image(name: str) -> str:
    """The value of an environment variable of the images."""
    (value,) = re.findall(rf"^ +{name}=(\S+)", DOCKERFILE.read_text(), flags=re.MULTILINE)
    return str(value)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return content


@pytest.fixture(params=SERVICES)
def service(compose: dict[str, Any], request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = compose["services"][request.param]
    return found


def test_only_the_cpu_service_starts_by_default(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == set(SERVICES)
    assert "profiles" not in services["encodec"]
    assert services["encodec-cuda"]["profiles"] == ["cuda"]


def test_the_gpu_is_reserved_for_the_cuda_service(compose: dict[str, Any]) -> None:
    assert "deploy" not in compose["services"]["encodec"]
    resources = compose["services"]["encodec-cuda"]["deploy"]["resources"]
    (device,) = resources["reservations"]["devices"]
    assert device["driver"] == "nvidia"
    assert "gpu" in device["capabilities"]


def test_targets_are_in_the_dockerfile(service: dict[str, Any]) -> None:
    build = service["build"]
    assert ROOT / build["dockerfile"] == DOCKERFILE
    assert f" AS {build['target']}\n" in DOCKERFILE.read_text()
    assert re.fullmatch(r"\$\{\w+:-\}", build["args"]["WHEEL_INDEX"])  # empty unless given


def test_has_no_rights_it_does_not_need(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "user" not in service  # the image's own, which is not root
    assert not {"privileged", "cap_add", "network_mode", "pid"} & set(service)


def test_is_published_on_this_machine_alone(service: dict[str, Any]) -> None:
    (port,) = service["ports"]
    found = re.fullmatch(r"\$\{\w+:-(.+?)\}:\$\{\w+:-(\d+)\}:(\d+)", port)
    assert found is not None
    host, published, inside = found.groups()
    assert host == "127.0.0.1"
    assert int(published) in (8000, 8001)
    assert inside == service["environment"]["ENCODEC_PORT"]


def test_services_can_run_side_by_side(compose: dict[str, Any]) -> None:
    ports = [service["ports"][0] for service in compose["services"].values()]
    assert len(set(ports)) == len(ports)


def test_every_folder_that_is_written_is_a_volume(
    compose: dict[str, Any], service: dict[str, Any]
) -> None:
    mounted = {volume.split(":")[1] for volume in service["volumes"]}
    assert {volume.split(":")[0] for volume in service["volumes"]} == set(compose["volumes"])
    assert in_image("TMPDIR") in mounted
    for name in ("ENCODEC_CACHE_DIR", "ENCODEC_SPOOL_DIR"):
        assert service["environment"][name] == in_image(name)
        assert in_image(name) in mounted


def test_compiled_kernels_are_kept_in_a_volume(compose: dict[str, Any]) -> None:
    """The root cannot be written, and no code is loaded from `/tmp` (mounted `noexec`)."""
    mounted = {
        Path(volume.split(":")[1]) for volume in compose["services"]["encodec-cuda"]["volumes"]
    }
    for name in ("TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"):
        assert mounted & set(Path(in_image(name)).parents)


def test_requests_are_given_time_to_finish(service: dict[str, Any]) -> None:
    found = re.fullmatch(r"\$\{ENCODEC_STOP_GRACE:-(\d+)s\}", service["stop_grace_period"])
    assert found is not None
    assert int(found[1]) >= Settings.model_construct().shutdown_grace + PATIENCE


def test_environment_file_may_be_missing(service: dict[str, Any]) -> None:
    assert service["env_file"] == [{"path": ".env", "required": False}]


def test_example_settings_are_settings() -> None:
    example = (ROOT / "docker" / ".env.example").read_text()
    names = set(re.findall(r"^#?([A-Z_]+)=", example, flags=re.MULTILINE))
    own = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text()))
    assert own - BUILDING <= names
    fields = {ENV_PREFIX + name.upper() for name in Settings.model_fields}
    assert names - own <= fields


def test_example_has_nothing_that_would_not_reach_the_service(service: dict[str, Any]) -> None:
    """What is for building would stand in the container's environment; what the compose file sets
    itself would be ignored, but for the address, which says where the service is published."""
    example = (ROOT / "docker" / ".env.example").read_text()
    names = set(re.findall(r"^#?([A-Z_]+)=", example, flags=re.MULTILINE))
    assert not names & BUILDING
    published = {"ENCODEC_HOST", "ENCODEC_PORT"}
    assert names & set(service["environment"]) == published


def test_example_shows_the_defaults() -> None:
    example = (ROOT / "docker" / ".env.example").read_text()
    lines = dict(re.findall(r"^#(ENCODEC_[A-Z_]+)=(.+)$", example, flags=re.MULTILINE))
    given = {name.removeprefix(ENV_PREFIX).lower(): value for name, value in lines.items()}
    del given["cuda_port"]
    assert given.pop("stop_grace") == "45s"
    shown, defaults = Settings(**given), Settings.model_construct()
    assert {name: getattr(shown, name) for name in given} == {
        name: getattr(defaults, name) for name in given
    }
