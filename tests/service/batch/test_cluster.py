"""The same on a Ray cluster of two nodes. (`python -m tests.service.batch` is the long form.)"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from tests.service.batch.__main__ import Cluster
from tests.service.batch.batch import GOOD, Batch, files
from tests.service.live import wait_for
from tests.service.sounds import wav

pytest.importorskip("ray")


@pytest.fixture(scope="module")
def shared() -> Iterator[Cluster]:
    usage = {"RAY_USAGE_STATS_ENABLED": "0"}
    with mock.patch.dict(os.environ, usage):
        made = Cluster(usage)
        yield made
        made.close()


@pytest.fixture
def cluster(shared: Cluster) -> Cluster:
    """Of two nodes, whatever tests have done to it."""
    shared.complete()
    return shared


def test_bytes_are_those_of_encodec_and_a_second_run_does_nothing(
    batch: Batch, source: Path, tmp_path: Path, cluster: Cluster
) -> None:
    run = batch.process(source, tmp_path / "out", cluster.flag)
    assert run.code == 1, run.err
    assert run.count == {"done": 5, "failed": 1}
    batch.encodec("--format", "1", "-o", tmp_path / "reference", source)
    assert files(tmp_path / "out") == files(tmp_path / "reference")
    assert {f"{name}.ecdc" for name in GOOD} == set(files(tmp_path / "out"))
    again = batch.process(source, tmp_path / "out", cluster.flag)
    assert again.count == {"skipped": 5, "failed": 1}


def test_what_a_lost_node_did_is_done_by_others(
    batch: Batch, tmp_path: Path, cluster: Cluster
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.wav").write_bytes(wav(90, seed=number))
    command = batch.command(folder, out, cluster.flag)
    with subprocess.Popen(command, env=batch.environment, stderr=subprocess.PIPE, text=True) as run:
        wait_for(lambda: len(list(out.glob(".*.part"))) >= 4, 60)  # of both nodes
        cluster.kill_node()
        _, err = run.communicate(timeout=100)
    assert run.returncode == 0, err
    assert "others do its work again" in err
    assert [line["outcome"] for line in batch.report()] == 6 * ["done"]
    batch.encodec("--format", "1", "-o", tmp_path / "reference", folder)
    assert batch(folder, out).count == {"skipped": 6}
    assert files(out) == files(tmp_path / "reference")


def test_no_cluster_at_an_address(batch: Batch, source: Path, tmp_path: Path) -> None:
    run = batch.process(source, tmp_path / "out", "--ray=127.0.0.1:9199")
    assert run.code == 1
    assert "no Ray cluster at 127.0.0.1:9199" in run.err
    assert "Traceback" not in run.err
