"""The report as files."""

import csv
import json
from dataclasses import asdict, fields
from pathlib import Path

from .intervals import differences, of_row
from .report import Measurement, Report
from .scores import Scores


def write_json(report: Report, path: Path) -> None:
    """Rows with their intervals, differences, codebooks and notes as one JSON object."""
    content = report.to_dict()
    for row, measurements in zip(content["rows"], report.groups.values(), strict=True):
        found = of_row(measurements)
        row["intervals"] = {name: [each.low, each.high] for name, each in found.items()}
    content["differences"] = [asdict(each) for each in differences(report)]
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def write_csv(report: Report, path: Path) -> None:
    """One line for every clip and contender."""
    names = [f.name for f in fields(Measurement) if f.name != "scores"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*names, *(f.name for f in fields(Scores))])
        writer.writeheader()
        for measurement in report.measurements:
            row = asdict(measurement)
            writer.writerow({**row.pop("scores"), **row})
