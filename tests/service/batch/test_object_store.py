"""From and to a bucket, over HTTP: moto speaks S3. (Neither it nor s3fs is among the packages for
tests: where they are missing, nothing is tried here.)"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import httpx
import pytest

from tests.service.batch.batch import Batch, files
from tests.service.live import wait_for

pytest.importorskip("moto")
pytest.importorskip("s3fs")

PORT = 9101


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[fsspec.AbstractFileSystem]:
    url = f"http://127.0.0.1:{PORT}"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(PORT)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            wait_for(lambda: _answers(url), 60)
            fs = fsspec.filesystem("s3", skip_instance_cache=True)
            fs.mkdir("bucket")
            yield fs
        finally:
            server.terminate()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def test_from_a_bucket_to_a_bucket(
    batch: Batch, source: Path, tmp_path: Path, bucket: fsspec.AbstractFileSystem
) -> None:
    for name, data in files(source).items():
        bucket.pipe_file(f"bucket/in/{name}", data)
    run = batch("s3://bucket/in", "s3://bucket/out")
    assert run.code == 1, run.err
    assert run.count == {"done": 5, "failed": 1}
    batch.encodec("--format", "1", "-o", tmp_path / "reference", source)
    bucket.invalidate_cache()
    made = {
        path.removeprefix("bucket/out/"): bucket.cat_file(path)
        for path in bucket.find("bucket/out")
    }
    assert made == files(tmp_path / "reference")
    assert batch("s3://bucket/in", "s3://bucket/out").count == {"skipped": 5, "failed": 1}
    assert batch("s3://bucket/out/**/*.ecdc", tmp_path / "audio").count == {"done": 5}


def test_a_table_in_a_bucket(batch: Batch, source: Path, bucket: fsspec.AbstractFileSystem) -> None:
    pytest.importorskip("pyarrow")
    run = batch(source, "s3://bucket/set/t.parquet", "--part-items", "4")
    assert run.count == {"done": 5, "failed": 1}, run.err
    again = batch(source, "s3://bucket/set/t.parquet", "--part-items", "4")
    assert again.count == {"skipped": 6}
    bucket.invalidate_cache()
    assert len(bucket.glob("bucket/set/t-*-of-00002.parquet")) == 2
