"""The Dockerfile: what is in the images, who runs it and how its health is asked for."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import torch

from tests.docker.dockerfile import Stage, environment, final, read_stages

ROOT = Path(__file__).parents[2]
TARGETS = ("cpu", "cuda")


@pytest.fixture(scope="module")
def stages() -> dict[str, Stage]:
    return read_stages(ROOT / "docker" / "Dockerfile")


@pytest.fixture(scope="module")
def ignore() -> list[str]:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_cpu_is_the_default_target(stages: dict[str, Stage]) -> None:
    assert list(stages)[-1] == "cpu"
    assert "cuda" in stages


@pytest.mark.parametrize("target", TARGETS)
def test_runs_as_a_user_without_rights(stages: dict[str, Stage], target: str) -> None:
    user, _, group = final(stages, target, "USER").partition(":")
    assert int(user) > 0  # a number, so that an orchestrator can see that it is not root
    assert int(group) > 0


@pytest.mark.parametrize("target", TARGETS)
def test_starts_the_service_without_a_shell(stages: dict[str, Stage], target: str) -> None:
    command = json.loads(final(stages, target, "ENTRYPOINT"))
    assert command[command.index("--") + 1 :] == ["encodec-serve", "--host", "0.0.0.0"]
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert "encodec-serve" in scripts


@pytest.mark.parametrize("target", TARGETS)
def test_the_first_process_reaps_orphans(stages: dict[str, Stage], target: str) -> None:
    assert json.loads(final(stages, target, "ENTRYPOINT"))[:2] == ["tini", "--"]
    packages = [run for run in stages["runtime"].all("RUN") if "apt-get install" in run]
    assert any(re.search(r"\btini\b", run) for run in packages)


@pytest.mark.parametrize("target", TARGETS)
def test_health_check_waits_for_the_first_start(stages: dict[str, Stage], target: str) -> None:
    options, _, command = final(stages, target, "HEALTHCHECK").partition("CMD ")
    assert re.search(r"--start-period=\d+s", options)
    assert json.loads(command) == ["python", "/opt/encodec/bin/healthcheck.py"]


def test_cuda_image_asks_for_a_driver_that_knows_its_cuda(stages: dict[str, Stage]) -> None:
    if torch.version.cuda is None:
        pytest.skip("this torch is built for CPUs alone")
    required = environment(stages, "cuda")["NVIDIA_REQUIRE_CUDA"]
    assert required == f"cuda>={torch.version.cuda}"
    assert "NVIDIA_REQUIRE_CUDA" not in environment(stages, "cpu")


def test_wheel_index_is_empty_by_default(stages: dict[str, Stage]) -> None:
    assert 'WHEEL_INDEX=""' in stages["dependencies"].all("ARG")


def test_dependencies_come_before_the_source(stages: dict[str, Stage]) -> None:
    assert stages["dependencies"].copied() == []
    assert stages["requirements"].copied() == ["pyproject.toml"]


def test_every_package_is_copied(stages: dict[str, Stage]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name.rstrip("*") for name in packages} <= set(stages["application"].copied())


def test_build_context_holds_what_is_copied_and_no_more(
    stages: dict[str, Stage], ignore: list[str]
) -> None:
    copied = {source for stage in stages.values() for source in stage.copied()}
    assert all((ROOT / source).exists() for source in copied)
    assert ignore[0] == "*"
    assert {line[1:] for line in ignore if line.startswith("!")} == copied


def test_nothing_names_a_place_to_download_from() -> None:
    files = [*(ROOT / "docker").iterdir(), ROOT / "docker-compose.yml", ROOT / ".dockerignore"]
    for path in files:
        urls = set(re.findall(r"https?://[\w.\[{]+", path.read_text()))
        assert urls <= {"http://127.0.0.1"}, path
