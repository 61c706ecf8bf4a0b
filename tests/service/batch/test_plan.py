"""Which output is made of what."""

from collections.abc import Collection
from pathlib import Path

import pytest

from model_core.codec import Coding
from service.batch.coding import Conversion
from service.batch.plan import (
    Destination,
    PartSize,
    Plan,
    PlanError,
    destination_of,
    plan_files,
    plan_parts,
)
from service.batch.sources import Item
from service.batch.store import Store

CODING = Conversion(Coding(bandwidth=6.0, format=1), "encodec_24khz:01234567", "flac")


def item(name: str, size: int = 10, split: str | None = None) -> Item:
    return Item(f"/in/{name}", f"/in/{name}", name, size, split)


@pytest.mark.parametrize(
    ("url", "destination"),
    [
        ("/x/out", Destination("/x/out", "files")),
        ("/x/out.tar", Destination("/x", "tar", "out")),
        ("/out.parquet", Destination("/", "parquet", "out")),
        ("s3://b/c/.tar", Destination("s3://b/c/.tar", "files")),
        ("s3://b/c/t.PARQUET", Destination("s3://b/c", "parquet", "t")),
    ],
)
def test_destinations(url: str, destination: Destination) -> None:
    assert destination_of(url) == destination


def files_of(
    items: list[Item],
    there: Collection[str] = (),
    *,
    folder: str = "/out",
    overwrite: bool = False,
) -> Plan:
    return plan_files(items, set(there), Store(folder).place, CODING, overwrite)


def test_files_mirror_names_and_the_largest_come_first() -> None:
    items = [item("a.b.wav", 1), item("sub/c.ecdc", 3), item("d", 2), item("sub/there.mp3")]
    plan = files_of(items, {"sub/there.ecdc", "other"})
    assert [job.target for job in plan.jobs] == ["sub/c.flac", "d.ecdc", "a.b.ecdc"]
    assert [(o.path, o.outcome) for o in plan.outcomes] == [("/in/sub/there.mp3", "skipped")]
    again = files_of(items, {"sub/there.ecdc"}, overwrite=True)
    assert len(again.jobs) == 4


def test_an_output_belongs_to_the_first() -> None:
    items = [item("x.wav"), item("x.mp3"), item("x.wav")]
    plan = files_of(items)
    assert [job.items for job in plan.jobs] == [(items[0],)]
    (outcome,) = plan.outcomes
    assert (outcome.path, outcome.outcome) == ("/in/x.mp3", "failed")


def test_an_output_is_never_an_input() -> None:
    plan = files_of([item("x.wav"), item("x.ecdc"), item("y.wav")], folder="/in", overwrite=True)
    assert [job.target for job in plan.jobs] == ["x.flac", "y.ecdc"]
    assert [o.reason for o in plan.outcomes] == ["its output x.ecdc is also an input"]


def parts(
    folder: Path,
    items: list[Item],
    *,
    name: str = "t.parquet",
    columns: tuple[str, ...] = ("codes",),
    overwrite: bool = False,
) -> Plan:
    destination = destination_of(str(folder / name))
    store = Store(destination.url)
    size = PartSize(items=3, bytes=100)
    there = store.names()
    return plan_parts(items, store, there, destination, CODING, size, columns, overwrite)


def targets(plan: Plan) -> list[str]:
    return sorted(job.target for job in plan.jobs)


def test_parts_are_ranges_of_items_and_bytes_in_each_split(tmp_path: Path) -> None:
    items = [item(f"{n}.wav", split="train") for n in range(4)]
    items += [item("long.wav", 100, "test"), item("short.wav", 1, "test")]
    plan = parts(tmp_path, items)
    assert targets(plan) == [
        "t-test-00000-of-00002.parquet",
        "t-test-00001-of-00002.parquet",
        "t-train-00000-of-00002.parquet",
        "t-train-00001-of-00002.parquet",
    ]
    assert [i.name for job in plan.jobs for i in job.items if len(job.items) == 3] == [
        "0.wav",
        "1.wav",
        "2.wav",
    ]
    assert [i.name for i in plan.jobs[0].items] == ["long.wav"]


def test_splits_whose_parts_would_have_the_same_names(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="test other and test-other"):
        parts(tmp_path, [item("a.wav", split="test-other"), item("b.wav", split="test other")])
    assert list(tmp_path.iterdir()) == []


def test_parts_that_are_there_are_not_made_again(tmp_path: Path) -> None:
    items = [item(f"{n}.wav") for n in range(5)]
    assert len(parts(tmp_path, items).jobs) == 2
    (tmp_path / "t-00000-of-00002.parquet").write_bytes(b"")
    plan = parts(tmp_path, items)
    assert targets(plan) == ["t-00001-of-00002.parquet"]
    assert [o.path for o in plan.outcomes] == ["/in/0.wav", "/in/1.wav", "/in/2.wav"]


def test_parts_of_other_sources_or_options_are_not_mixed(tmp_path: Path) -> None:
    items = [item(f"{n}.wav") for n in range(5)]
    parts(tmp_path, items)
    (tmp_path / "t-00000-of-00002.parquet").write_bytes(b"")
    more = [item("new.wav"), *items]
    with pytest.raises(PlanError, match="--overwrite"):
        parts(tmp_path, more)
    with pytest.raises(PlanError):
        parts(tmp_path, items, columns=("scale",))
    assert len(parts(tmp_path, items, name="u.parquet").jobs) == 2
    assert len(parts(tmp_path, more * 2, overwrite=True).jobs) == 4
    assert not (tmp_path / "t-00000-of-00002.parquet").exists()


def test_a_part_of_unknown_origin_is_not_taken_for_ours(tmp_path: Path) -> None:
    (tmp_path / "t-00000-of-00001.parquet").write_bytes(b"")
    with pytest.raises(PlanError, match="nothing says"):
        parts(tmp_path, [item("a.wav")])


def test_a_shard_has_a_key_once(tmp_path: Path) -> None:
    plan = parts(tmp_path, [item("x.wav"), item("x.mp3"), item("y.wav")], name="t.tar")
    assert [i.name for job in plan.jobs for i in job.items] == ["x.wav", "y.wav"]
    assert [o.outcome for o in plan.outcomes] == ["failed"]
