"""What is in deploy/observability: files, queries, and the metrics that they name."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "observability"
PROMETHEUS = FOLDER / "prometheus"
DASHBOARD = FOLDER / "grafana" / "dashboards" / "encodec.json"

_METRIC = re.compile(r"\b(?:encodec|process|python)_[a-z_]+\b(?!:)|\bup\b")
_FROM_PROMETHEUS = {"up"}
"""What Prometheus measures itself."""


def loaded(path: Path) -> dict[str, Any]:
    """A YAML file."""
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


def panels() -> list[dict[str, Any]]:
    """Those of the dashboard, without the rows."""
    dashboard = json.loads(DASHBOARD.read_text())
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries() -> Iterator[str]:
    """Those of the dashboard, as Grafana sends them for all instances."""
    dashboard = json.loads(DASHBOARD.read_text())
    found = [target["expr"] for panel in panels() for target in panel["targets"]]
    found += [annotation["expr"] for annotation in dashboard["annotations"]["list"]]
    for query in found:
        yield query.replace("$__rate_interval", "1m").replace("$instance", ".*")


def rules() -> list[dict[str, Any]]:
    """Recording rules and alerts."""
    groups = loaded(PROMETHEUS / "rules.yml")["groups"]
    return [rule for group in groups for rule in group["rules"]]


def metrics_of(query: str) -> set[str]:
    """The names of metrics in a query, without those that Prometheus or a rule makes."""
    without_labels = re.sub(r"\{[^}]*\}", "", query)
    return set(_METRIC.findall(without_labels)) - _FROM_PROMETHEUS


def promtool(*arguments: str) -> str:
    """What it says; fails where it finds anything wrong."""
    done = subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
