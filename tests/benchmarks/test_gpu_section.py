"""Section `gpu`, on the CPU: the same work in a small batch."""

from dataclasses import replace

import pytest
import torch

from benchmarks.gpu_section import TABLE, Setting, cells, measured
from benchmarks.gpu_section import run as run_section
from benchmarks.machine import this_machine
from benchmarks.plan import PRESETS
from benchmarks.results import Section
from benchmarks.streams import Streams
from model_core.config import CONFIGS
from model_core.engine import EngineOptions
from model_core.engine.cuda import CudaEngine
from model_core.model import EncodecModel

_CPU = torch.device("cpu")


def _narrow(name: str) -> EncodecModel:
    torch.manual_seed(3)
    model = EncodecModel(replace(CONFIGS[name], n_filters=4, dimension=16)).eval()
    for book in model.quantizer.codebooks:
        torch.nn.init.normal_(book.codebook.embed)
    return model


@pytest.mark.parametrize("direction", ["encode", "decode"])
@pytest.mark.parametrize("name", CONFIGS)
def test_a_row_holds_the_speed_and_the_distance_to_torch(name: str, direction: str) -> None:
    model = _narrow(name)
    plan = replace(PRESETS["quick"], runs=1, budget=1)
    row = measured(model, Setting(direction, "float32", 2, _CPU), plan, 1e11)  # type: ignore[arg-type]
    assert row["times_real_time"] > 0
    if direction == "encode":
        percent, _, what = row["agreement"].partition("%")
        assert (float(percent) > 99, what) == (True, " of codes")
    else:
        words = row["agreement"].split()
        assert (words[0], float(words[1]) < 1e-4) == ("within", True)
    assert TABLE.line(cells(row)).split()[:3] == [name, direction, "ours"]


def test_without_a_device_the_section_is_skipped_with_a_note() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one here")
    section = Section(this_machine("torch"))
    assert list(run_section(PRESETS["quick"], section)) == []
    assert section.notes == ["skipped: there is no CUDA device here"]


def test_overlapping_seconds_count_once() -> None:
    assert Streams(CONFIGS["encodec_24khz"], "encode", 6.0, 3, 4).seconds == 12
    assert Streams(CONFIGS["encodec_48khz"], "encode", 6.0, 3, 4).seconds == pytest.approx(11.88)


def test_an_error_of_a_caller_is_raised() -> None:
    model = _narrow("encodec_24khz")
    streams = Streams(replace(model.config, bins=4096), "decode", 6.0, 3, 1)  # codes it lacks
    engine = CudaEngine(model, _CPU, EngineOptions(max_batch=2))
    with pytest.raises(IndexError):
        streams.run(engine, callers=2)
