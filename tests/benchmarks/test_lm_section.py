"""Section `lm`: ours and the reference write the same file and decode the same audio."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from encodec.compress import MODELS

from benchmarks import lm_section
from benchmarks.agreement import same_file, signal_to_noise
from benchmarks.machine import this_machine
from benchmarks.models import seeded_lm
from benchmarks.plan import PRESETS
from benchmarks.results import Row, Section

NAMES = ("encodec_24khz", "encodec_48khz")


@pytest.fixture(scope="module")
def measured() -> Iterator[tuple[list[Row], Section]]:
    known = dict(MODELS)
    threads = torch.get_num_threads()
    section = Section(this_machine("torch"))
    plan = replace(PRESETS["quick"], lm_lengths=(0.2,), runs=1)
    yield list(lm_section.run(plan, section)), section
    assert known == MODELS
    assert torch.get_num_threads() == threads


def test_rows_of_both_models_directions_and_contenders(
    measured: tuple[list[Row], Section],
) -> None:
    rows, section = measured
    assert [(row["model"], row["direction"], row["contender"]) for row in rows] == [
        (model, direction, contender)
        for model in NAMES
        for direction in ("compress", "decompress")
        for contender in ("ours", "reference")
    ]
    assert section.notes == ["transformers is left out: it has no language model"]
    for row in rows:
        assert lm_section.TABLE.line(lm_section.cells(row)).startswith(row["model"])


def test_ours_and_the_reference_agree(measured: tuple[list[Row], Section]) -> None:
    """Bytes are equal: the clips are so short that no two codes are nearly as near."""
    for row in measured[0]:
        if row["contender"] == "ours":
            assert row["agreement"] is None
        elif row["direction"] == "compress":
            assert row["agreement"] == "bytes identical"
        else:
            what, decibels, _ = row["agreement"].split()
            assert what == "SNR"
            assert int(decibels) > 90


@pytest.mark.parametrize("name", NAMES)
def test_the_seeded_language_model_is_peaked_and_always_the_same(name: str) -> None:
    lm = seeded_lm(name)
    with torch.no_grad():
        probabilities = lm(torch.zeros(1, 4, 1, dtype=torch.long))[0]
        again = seeded_lm(name)(torch.zeros(1, 4, 1, dtype=torch.long))[0]
    assert torch.equal(probabilities, again)
    assert probabilities.amax(dim=1).min() > 20 / 1024


def test_agreement_in_words() -> None:
    assert same_file(b"ab", b"ab") == "bytes identical"
    assert same_file(b"ab", b"acd") == "other bytes (2, 3)"
    tone = np.sin(np.arange(1000))[None]
    assert signal_to_noise(tone, tone) == "samples identical"
    assert signal_to_noise(tone, 1.01 * tone) == "SNR 40 dB"
    assert signal_to_noise(tone, tone[:, 1:]) == "samples [1, 1000], [1, 999]"
