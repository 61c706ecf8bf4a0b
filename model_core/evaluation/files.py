"""The report as files."""

import csv
import json
from dataclasses import asdict, fields
from pathlib import Path

from .report import Measurement, Report
from .scores import Scores


def write_json(report: Report, path: Path) -> None:
    """Rows, codebooks and notes as one JSON object."""
    path.write_text(json.dumps(report.to_dict(), indent=1) + "\n", encoding="utf-8")


def write_csv(report: Report, path: Path) -> None:
    """One line for every clip and contender."""
    names = [f.name for f in fields(Measurement) if f.name != "scores"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*names, *(f.name for f in fields(Scores))])
        writer.writeheader()
        for measurement in report.measurements:
            row = asdict(measurement)
            writer.writerow({**row.pop("scores"), **row})
