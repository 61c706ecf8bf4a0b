"""Lists of recordings in each of their formats."""

import json
from pathlib import Path

import fsspec
import pytest

from service.batch.manifest import ManifestError, Row, read_manifest

FS = fsspec.filesystem("file")
RECORDS = [{"path": "a b.wav", "split": "train"}, {"path": "ü/c.wav", "split": "test"}]
ROWS = [Row("a b.wav", "train"), Row("ü/c.wav", "test")]


def written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_csv(tmp_path: Path) -> None:
    text = 'split,path,"text"\r\ntrain,a b.wav,"x,\ny"\r\ntest,ü/c.wav,\r\n'
    assert read_manifest(FS, written(tmp_path / "m.csv", "\ufeff" + text)) == ROWS
    tabs = "path\tsplit\na b.wav\ttrain\nü/c.wav\ttest\n"
    assert read_manifest(FS, written(tmp_path / "m.tsv", tabs)) == ROWS


def test_json_lines(tmp_path: Path) -> None:
    text = "\n\n".join(json.dumps(record) for record in RECORDS)
    assert read_manifest(FS, written(tmp_path / "m.jsonl", text)) == ROWS


def test_lines_of_json_end_where_those_of_json_lines_do(tmp_path: Path) -> None:
    text = '{"path": "a.wav", "text": "one\u2028two\x85three"}\r\n{"path": "b.wav"}\n'
    assert read_manifest(FS, written(tmp_path / "m.jsonl", text)) == [
        Row("a.wav", None),
        Row("b.wav", None),
    ]


def test_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import Table, parquet

    parquet.write_table(Table.from_pylist(RECORDS), tmp_path / "m.parquet")
    assert read_manifest(FS, str(tmp_path / "m.parquet")) == ROWS
    assert read_manifest(FS, str(tmp_path / "m.parquet"), "split") == [
        Row("train", "train"),
        Row("test", "test"),
    ]


def test_columns_of_other_names(tmp_path: Path) -> None:
    place = written(tmp_path / "m.jsonl", '{"audio_filepath": "x.wav", "where": "y.wav", "set": 1}')
    assert read_manifest(FS, place) == [Row("x.wav", None)]
    assert read_manifest(FS, place, "where", "set") == [Row("y.wav", "1")]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("m.csv", "name\nx.wav\n", "record 1 has no path in any column"),
        ("m.csv", "path\nx.wav\n\n,\n", "record 2 has no path"),
        ("m.csv", f"path,text\nx.wav,{'x' * 200_000}\n", "field larger than"),
        ("m.jsonl", '{"path": "x"}\n{"path": ', "line 2 is not JSON"),
        ("m.jsonl", "[1]", "line 1 is not a JSON object"),
        ("m.jsonl", '{"path": 3}', "record 1 has no path in path"),
    ],
)
def test_wrong_ones(tmp_path: Path, name: str, text: str, words: str) -> None:
    with pytest.raises(ManifestError, match=words):
        read_manifest(FS, written(tmp_path / name, text))
    with pytest.raises(ManifestError):
        read_manifest(FS, written(tmp_path / name, text), "colour", "size")
