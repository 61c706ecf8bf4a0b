"""constraints.txt: one version of each dependency, within the range that pyproject.toml gives."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LINES = (ROOT / "constraints.txt").read_text().splitlines()
RANGES = [
    Requirement(line)
    for lines in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for line in lines
]


@pytest.mark.parametrize("wanted", RANGES, ids=lambda wanted: wanted.name)
def test_the_exact_version_is_within_the_range(wanted: Requirement) -> None:
    versions = dict(line.split("==") for line in LINES)
    assert wanted.specifier.contains(versions[canonicalize_name(wanted.name)])


def test_there_is_nothing_but_names_and_versions() -> None:
    for line in LINES:
        assert re.fullmatch(r"[a-z0-9.-]+==[0-9][a-z0-9.]*", line), line
    assert sorted(LINES) == LINES
