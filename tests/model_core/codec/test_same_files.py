"""Files are the same however they are made: in this process; `same_files.py` has the long form."""

from pathlib import Path

import pytest
import torch

from tests.model_core.codec import same_files
from tests.model_core.codec.same_files import builds, results_here, write_plain


def test_every_build_thread_count_and_batch_makes_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(same_files, "SECONDS", {"encodec_24khz": 0.3})
    monkeypatch.setattr(same_files, "FRAMES", 2)
    threads = torch.get_num_threads()
    write_plain(tmp_path)
    try:
        found = results_here(tmp_path)
    finally:
        torch.set_num_threads(threads)
    assert len(found) == 4 * len(builds())
    assert len(set(found.values())) == 2, found
