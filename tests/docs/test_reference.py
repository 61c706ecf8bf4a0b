"""The pages that are made from the code have all of it, and the site's navigation has all pages."""

import argparse
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.site import tree
from docs.site.__main__ import assemble
from docs.site.commands import PARSERS
from docs.site.navigation import forgotten
from service.settings import Settings, flag, variable

ROOT = Path(__file__).parents[2]
DRAWINGS = sorted((ROOT / "docs" / "drawings").glob("*.svg"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of the site."""
    folder = tmp_path_factory.mktemp("site") / "docs"
    assemble(folder)
    return folder


def test_every_page_is_in_the_navigation_and_the_other_way_round(site: Path) -> None:
    assert forgotten(site) == []


def test_a_page_that_the_navigation_forgets_is_found(tmp_path: Path) -> None:
    (tmp_path / "new.md").write_text("# New\n")
    found = forgotten(tmp_path)
    assert found[0] == "new.md is not in the navigation of mkdocs.yml"
    assert "mkdocs.yml names changelog.md, which is not there" in found


def test_every_call_and_parameter_is_described(site: Path) -> None:
    page = (site / "reference/http.md").read_text()
    document = json.loads((ROOT / "openapi.json").read_text())
    for path, methods in document["paths"].items():
        assert f"`{path}" in page or f" {path}`" in page
        for call in methods.values():
            for parameter in call.get("parameters", ()):
                assert f"`{parameter['name']}`" in page
    for name in document["components"]["schemas"]:
        assert f"### `{name}`" in page


def test_every_setting_is_described(site: Path) -> None:
    page = (site / "reference/encodec-serve.md").read_text()
    for name in Settings.model_fields:
        assert f"### `{variable(name)}`" in page
        assert f"Flag `{flag(name)}`;" in page


def test_every_command_has_its_page() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(project["scripts"]) == {*PARSERS, "encodec-serve"}


@pytest.mark.parametrize("command", PARSERS)
def test_every_option_is_described(site: Path, command: str) -> None:
    page = (site / "reference" / f"{command}.md").read_text()
    for option in _options(PARSERS[command]()):
        assert re.search(rf"^`.*{re.escape(option)}\b.*`$", page, flags=re.MULTILINE), option


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _options(command)


def test_links_of_pages_follow_to_where_they_are() -> None:
    def moved(text: str, page: str = "README.md") -> str:
        return tree.moved(text, ROOT / page, tree.places())

    assert moved("[a](docs/live.md#flow)") == "[a](live.md#flow)"
    assert moved("[a](clients)") == "[a](clients/index.md)"
    assert moved("![a](docs/page.png)") == "![a](page.png)"
    assert moved("[a](../../README.md#x)", "docs/start/http.md") == "[a](../readme.md#x)"
    assert moved("[a](service/app.py) [b](https://x.org) [c](#d)") == "a [b](https://x.org) [c](#d)"
    assert moved("[a](docs/reference/http.md#x)") == "[a](reference/http.md#x)"
    assert moved("```\n[a](docs/live.md)\n```\n") == "```\n[a](docs/live.md)\n```\n"


def test_drawings_become_part_of_the_page(site: Path) -> None:
    page = (site / "concepts/network.md").read_text()
    assert '<figure class="drawing" role="img" aria-label="Encoder' in page
    assert "</svg>\n</figure>" in page


def test_drawings_have_the_same_colours_as_the_site() -> None:
    style = (ROOT / "docs" / "site.css").read_text()
    found = {re.findall(r"<style>.*?</style>", file.read_text(), re.DOTALL)[0] for file in DRAWINGS}
    (drawings,) = found
    colours = re.findall(r"--\w+: #\w+;(?: --\w+: #\w+;)*", drawings)
    assert len(colours) == 2
    assert all(each in style for each in colours)
    classes = {name for file in DRAWINGS for name in re.findall(r'class="(\w+)', file.read_text())}
    assert all(f".drawing .{name} {{" in style for name in classes)
