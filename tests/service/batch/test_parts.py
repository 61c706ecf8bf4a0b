"""Shards and tables from end to end."""

import io
import json
import tarfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_core.codec import Codec, iterate_now, open_stored
from model_core.config import CONFIGS
from tests.service.batch.batch import ALONE, GOOD, Batch, files
from tests.service.batch.conftest import Coded


@lru_cache
def codec_of(model: str, weights: Path) -> Codec:
    return Codec.load(model, str(weights), exact=True, lm=False)


def codes_of(ecdc: Path, weights: Path) -> tuple[np.ndarray, list[float]]:
    """The codes `[K, T]` and the scales of a file."""
    with ecdc.open("rb") as file:
        stored = open_stored(file)
        codec = codec_of(stored.model, weights)
        blocks = list(iterate_now(stored.codes(codec)))
    scales = [block.scale for block in blocks if block.scale is not None]
    return np.concatenate([block.codes for block in blocks], axis=1), scales


def rows(folder: Path) -> list[dict[str, Any]]:
    from pyarrow import parquet

    found = [parquet.read_table(path).to_pylist() for path in sorted(folder.glob("*.parquet"))]
    return [row for table in found for row in table]


@pytest.mark.parametrize("model", [(), ("--hq",)], ids=["mono", "stereo"])
def test_a_table_has_the_codes_of_the_files(
    batch: Batch,
    source: Path,
    tmp_path: Path,
    weights: Path,
    coded: Coded,
    model: tuple[str, ...],
) -> None:
    pytest.importorskip("pyarrow")
    workers = ALONE if model else ()
    run = batch(source, tmp_path / "set/t.parquet", "--part-items", "4", *model, *workers)
    assert run.code == 1
    assert run.count == {"done": 5, "failed": 1}
    ecdc = coded.folder
    if model:
        ecdc = tmp_path / "ecdc"
        batch(source, ecdc, *model, *ALONE)
    table = {row["path"]: row for row in rows(tmp_path / "set")}
    assert len(table) == 6
    bad = table.pop(str(source / "corrupt.flac"))
    assert bad["error"] == run.one("failed")["reason"]
    assert bad["codes"] is None
    rate = CONFIGS["encodec_48khz" if model else "encodec_24khz"].sample_rate
    for path, row in table.items():
        name = str(Path(path).relative_to(source).with_suffix(".ecdc"))
        codes, scales = codes_of(ecdc / name, weights)
        assert np.array_equal(np.array(row["codes"]), codes)
        assert row["scale"] == scales
        assert row["duration"] == row["samples"] / rate
        assert row["error"] is None
    again = batch(source, tmp_path / "set/t.parquet", "--part-items", "4", *model)
    assert again.count == {"skipped": 6}
    batch(ecdc, tmp_path / "again/t.parquet", *model)
    decoded = {Path(row["path"]).stem: row["codes"] for row in rows(tmp_path / "again")}
    assert decoded == {Path(path).stem: row["codes"] for path, row in table.items()}


def test_chosen_columns_and_splits(batch: Batch, source: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import int16, list_, parquet

    manifest = source.parent / f"{tmp_path.name}.csv"
    lines = [f"{source}/{name},{part}" for name, part in (("a.wav", "train"), ("e.m4a", "test"))]
    manifest.write_text("\n".join(["path,split", *lines]))
    run = batch(manifest, tmp_path / "t.parquet", "--columns", "codes", "-b", "1.5", *ALONE)
    assert (run.code, run.count) == (0, {"done": 2})
    assert sorted(path.name for path in tmp_path.glob("*.parquet")) == [
        "t-test-00000-of-00001.parquet",
        "t-train-00000-of-00001.parquet",
    ]
    table = parquet.read_table(tmp_path / "t-train-00000-of-00001.parquet")
    assert table.column_names == ["path", "split", "duration", "samples", "error", "codes"]
    assert table.schema.field("codes").type == list_(list_(int16()))
    assert table.schema.metadata[b"encodec.bandwidth"] == b"1.5"
    (row,) = table.to_pylist()
    assert (row["path"], row["split"], len(row["codes"])) == (f"{source}/a.wav", "train", 2)


def test_hugging_face_reads_a_table(batch: Batch, source: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    pytest.importorskip("pyarrow")
    manifest = tmp_path / "m.jsonl"
    pairs = [("a.wav", "train"), ("one/b.flac", "train"), ("one/c.mp3", "test")]
    records = [json.dumps({"path": f"{source}/{name}", "split": part}) for name, part in pairs]
    manifest.write_text("\n".join(records))
    assert batch(manifest, tmp_path / "set/t.parquet", *ALONE).code == 0
    found = datasets.load_dataset(str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(found[name]) for name in found} == {"train": 2, "test": 1}
    assert found["test"].features["codes"].feature.feature.dtype == "int16"
    assert np.array(found["test"][0]["codes"]).shape == (8, 98)


def test_shards_hold_the_files(batch: Batch, source: Path, tmp_path: Path, coded: Coded) -> None:
    command = (source, tmp_path / "set/s.tar", "--part-items", "4", *ALONE)
    run = batch(*command)
    assert run.count == {"done": 5, "failed": 1}
    made = files(coded.folder)
    held: dict[str, bytes] = {}
    for shard in sorted((tmp_path / "set").glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                held[member.name] = tar.extractfile(member).read()  # type: ignore[union-attr]
    assert {name: data for name, data in held.items() if name.endswith(".ecdc")} == made
    about = json.loads(held["corrupt.json"])
    assert about["error"] == run.one("failed")["reason"]
    assert json.loads(held["a.json"])["duration"] == pytest.approx(0.4)
    before = files(tmp_path / "set")
    assert batch(*command).count == {"skipped": 6}
    assert batch(*command, "--overwrite").code == 1
    assert files(tmp_path / "set") == before


def test_shards_are_sources(batch: Batch, source: Path, tmp_path: Path, coded: Coded) -> None:
    shard = tmp_path / "in.tar"
    with tarfile.open(shard, "w") as tar:
        tar.add(source, "x")
        info = tarfile.TarInfo("x/a.json")
        tar.addfile(info, io.BytesIO())
    run = batch(shard, tmp_path / "out", *ALONE)
    assert run.count == {"done": 6, "failed": 1}  # the hidden one too
    made = files(tmp_path / "out/x")
    assert {name: made[f"{name}.ecdc"] for name in GOOD} == {
        name: (coded.folder / f"{name}.ecdc").read_bytes() for name in GOOD
    }


def test_a_part_whose_writer_died_is_made_again(
    batch: Batch, source: Path, tmp_path: Path, crash: str
) -> None:
    pytest.importorskip("pyarrow")
    once = {"LD_PRELOAD": crash, "CRASH_NAME": "-00001-of", "CRASH_ONCE": str(tmp_path / "once")}
    run = batch.process(source, tmp_path / "set/t.parquet", "--part-items", "2", *ALONE, **once)
    assert (tmp_path / "once").exists()
    assert run.count == {"done": 5, "failed": 1}
    assert len(rows(tmp_path / "set")) == 6
    batch(source, tmp_path / "other/t.parquet", "--part-items", "2", *ALONE)
    assert rows(tmp_path / "set") == rows(tmp_path / "other")
