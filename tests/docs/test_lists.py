"""What the documentation lists is what the code has, and its links lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.site.reference import PAGES as REFERENCE
from service.http.problems import ProblemCode
from service.metrics import Metrics
from service.settings import ENV_PREFIX, Settings
from tests.docs.snippets import PAGES

ROOT = Path(__file__).parents[2]
OPERATIONS = ROOT / "docs" / "operations.md"
MADE = {ROOT / "docs" / place for place in REFERENCE}
"""Pages that only the site has."""


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading of the operations page, without the code marks."""
    section = OPERATIONS.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return [[cell.replace("`", "") for cell in row] for row in cells[2:]]


def test_every_problem_is_listed_with_its_status() -> None:
    listed = {row[0]: int(row[1]) for row in rows("Problems")}
    assert listed == {code.value: code.status for code in ProblemCode}


def test_every_setting_is_listed() -> None:
    names = [row[0] for row in rows("Settings")]
    assert sorted(names) == sorted(ENV_PREFIX + name.upper() for name in Settings.model_fields)


def test_the_listed_defaults_are_the_defaults() -> None:
    listed = {row[0].removeprefix(ENV_PREFIX).lower(): row[1] for row in rows("Settings")}
    defaults = Settings.model_construct()
    for name, value in listed.items():
        if value == "none":
            assert not getattr(defaults, name), name
        else:
            parsed = Settings.model_validate({name: value})
            assert getattr(parsed, name) == getattr(defaults, name), name


def test_every_metric_is_listed_with_its_type_and_labels() -> None:
    listed = {row[0]: (row[1], set(re.findall(r"\w+", row[2]))) for row in rows("Metrics")}
    assert listed == dict(_own_metrics())


def _own_metrics() -> Iterator[tuple[str, tuple[str, set[str]]]]:
    """By the names that `/metrics` shows, once each has been measured."""
    for collector in list(Metrics().registry._collector_to_names):
        labels = set(getattr(collector, "_labelnames", ()))
        for family in collector.collect():
            if family.name.startswith("encodec_"):
                total = "_total" if family.type == "counter" else ""
                yield family.name + total, (family.type, labels)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists() or target in MADE, link
        if anchor and target not in MADE:
            assert anchor in _anchors(target), link


def _anchors(page: Path) -> set[str]:
    """What its headings can be linked by."""
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
