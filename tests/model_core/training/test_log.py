"""A run's log tells of each step once, whatever was killed when."""

import json
from pathlib import Path

from model_core.training.log import LOG, RunLog


def steps(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / LOG).read_text().splitlines()]


def write(folder: Path, step: int, last: int) -> None:
    log = RunLog(folder, 100, step)
    for number in range(step + 1, last + 1):
        log.scalars(number, {"loss": 1 / number})
    log.close()


def test_a_run_that_goes_on_drops_what_it_repeats(tmp_path: Path) -> None:
    write(tmp_path, 0, 7)
    write(tmp_path, 5, 8)
    assert steps(tmp_path) == list(range(1, 9))
    assert not list(tmp_path.glob(".log*"))


def test_a_run_that_starts_over_starts_its_log_over(tmp_path: Path) -> None:
    write(tmp_path, 0, 3)
    write(tmp_path, 0, 2)
    assert steps(tmp_path) == [1, 2]


def test_a_line_that_was_cut_off_is_dropped(tmp_path: Path) -> None:
    write(tmp_path, 0, 3)
    whole = (tmp_path / LOG).read_bytes()
    for cut in (1, 20):
        (tmp_path / LOG).write_bytes(whole[:-cut])
        write(tmp_path, 3, 4)
        assert steps(tmp_path) == [1, 2, 4]


def test_nothing_changes_where_nothing_is_repeated(tmp_path: Path) -> None:
    write(tmp_path, 0, 3)
    before = (tmp_path / LOG).stat()
    RunLog(tmp_path, 100, 3).close()
    RunLog(tmp_path, 100, 0, enabled=False).close()
    after = (tmp_path / LOG).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
