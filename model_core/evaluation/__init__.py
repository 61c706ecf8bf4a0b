"""How decoded audio compares with its original, beside other codecs at the same rate.

Reads top to bottom: `command` picks `clips`, `examine` codes each one with every contender
(`codec_run`, `peers`) and takes its `scores`; `report` gathers them for `table`, `files`, `plot`.
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
