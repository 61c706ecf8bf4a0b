"""The images, as far as the Dockerfile tells: contents, user, port, health check, driver."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import torch

from service.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def last(pattern: str) -> str:
    """What stands behind the last instruction that matches: the one that counts in the images."""
    return re.findall(rf"^{pattern}(.+)$", DOCKERFILE, flags=re.MULTILINE)[-1]


def copied() -> set[str]:
    """The paths copied from the build context."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, flags=re.MULTILINE)
    return {source for line in lines for source in shlex.split(line)[:-1]}


def test_a_build_without_a_target_is_for_the_cpu() -> None:
    assert last(r"FROM .+ AS ") == "cpu"


def test_the_build_context_holds_what_is_copied_and_no_more() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied()
    assert all((ROOT / source).exists() for source in copied())


def test_every_package_is_in_the_image() -> None:
    packages = PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name.rstrip("*") for name in packages} <= copied()


def test_the_user_is_a_number_and_not_root() -> None:
    """An orchestrator that forbids root can check a number only."""
    user, group = last("USER ").split(":")
    assert int(user) > 0
    assert int(group) > 0


def test_the_image_starts_the_service_on_every_interface() -> None:
    assert json.loads(last("ENTRYPOINT "))[-1] in PROJECT["project"]["scripts"]
    assert last(r" +ENCODEC_HOST=").split()[0] == "0.0.0.0"


def test_the_exposed_port_is_the_one_listened_on() -> None:
    assert last("EXPOSE ") == last(r" +ENCODEC_PORT=") == str(Settings.model_construct().port)


def test_the_health_check_is_in_the_image_and_waits_for_the_first_start() -> None:
    path = last(r"COPY docker/healthcheck\.py ")
    assert json.loads(last(r" +CMD ")) == ["python", path]
    assert re.search(r"--start-period=\d+s", last("HEALTHCHECK "))


def test_the_cuda_image_needs_a_driver_for_the_cuda_of_torch() -> None:
    if torch.version.cuda is None:
        pytest.skip("this torch is built for CPUs alone")
    assert last(r" +NVIDIA_REQUIRE_CUDA=").startswith(f'"cuda>={torch.version.cuda}"')


def test_nothing_names_a_place_to_download_from() -> None:
    files = [*(ROOT / "docker").iterdir(), ROOT / "docker-compose.yml", ROOT / ".dockerignore"]
    for path in files:
        urls = set(re.findall(r"https?://[\w.\[{]+", path.read_text()))
        assert urls <= {"http://127.0.0.1"}, path
