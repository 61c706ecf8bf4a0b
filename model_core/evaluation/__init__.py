"""Compares decoded audio with its original, beside other codecs at the same rate.

`command` picks `clips`; `examine` codes each one with every contender (`codec_run`, `peers`) and
computes its `scores`; `report` collects them for `table`, `files` and `plot`, with `intervals` over
clips. `listening` writes what was decoded as a page (`page`) for listening tests, equally loud
(`loudness`).
"""

from .clips import Clip, clips_of_cache, clips_of_folder
from .examine import Examination, Examiner, Plan
from .report import Measurement, Report, Row
from .usage import Usage

__all__ = [
    "Clip",
    "Examination",
    "Examiner",
    "Measurement",
    "Plan",
    "Report",
    "Row",
    "Usage",
    "clips_of_cache",
    "clips_of_folder",
]
