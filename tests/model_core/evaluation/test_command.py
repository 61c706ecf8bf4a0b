"""The command from end to end: table, files, exit codes."""

import csv
import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from model_core.evaluation.command import main
from model_core.evaluation.peers import PEERS, opus

from .conftest import audio, write_wav

RUN = ("--bandwidths", "6", "1.5", "--no-peers")


def _run(*argv: object) -> int:
    return main([str(argument) for argument in argv])


def test_table_and_files_say_the_same(
    recordings: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {name: tmp_path / f"out.{name}" for name in ("json", "csv", "png")}
    options = ("--json", files["json"], "--csv", files["csv"], "--plot", files["png"])
    assert _run(recordings, "--weights", weights, *RUN, *options) == 0
    text = capsys.readouterr().out
    report = json.loads(files["json"].read_text())
    assert [(row["category"], row["kbps"]) for row in report["rows"]] == [
        ("music", 1.5),
        ("music", 6.0),
        ("speech", 1.5),
        ("speech", 6.0),
    ]
    for row in report["rows"]:
        assert row["kbps_payload"] == pytest.approx(row["kbps"], rel=0.02)
        assert row["kbps_payload"] < row["kbps_written"] < row["kbps_payload"] + 1
        assert row["kbps_lm"] is not None
        assert (row["stoi"] is None) == (row["category"] != "speech")
        if find_spec("pesq") is not None:
            assert (row["pesq"] is None) == (row["category"] != "speech")
        assert (row["visqol"] is None) == (find_spec("visqol") is None)
        shown = f"{row['kbps']:5g} {row['contender']} {row['kbps_written']:6.2f}"
        assert shown in text
    with files["csv"].open(newline="") as lines:
        clips = list(csv.DictReader(lines))
    assert [clip["clip"] for clip in clips] == ["music/a.wav"] * 2 + ["speech/b.wav"] * 2
    row = report["rows"][0]
    clip = next(clip for clip in clips if float(clip["kbps"]) == row["kbps"])
    assert float(clip["mel_db"]) == pytest.approx(row["mel_db"])
    (usage,) = report["codebooks"].values()
    assert usage["seconds"] == pytest.approx(2.4)
    assert len(usage["unused_percent"]) == 8
    assert files["png"].read_bytes()[:4] == b"\x89PNG"


def test_processes_change_nothing(recordings: Path, weights: Path, tmp_path: Path) -> None:
    results = []
    for jobs in (1, 2):
        out = tmp_path / f"{jobs}.json"
        options = ("--no-lm", "--no-visqol", "--jobs", jobs, "--json", out)
        assert _run(recordings, "--weights", weights, *RUN, *options) == 0
        results.append(json.loads(out.read_text()))
    assert results[0] == results[1]
    assert all(row["kbps_lm"] is None for row in results[0]["rows"])


def test_recordings_are_put_into_a_condition(
    recordings: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--bandwidths", 3, "--no-peers", "--no-lm", "--no-visqol")
    assert _run(recordings, "--weights", weights, *options, "--condition", "quiet") == 0
    quiet = capsys.readouterr().out
    assert "all recordings are quiet (-45 dBFS)" in quiet
    assert _run(recordings, "--weights", weights, *options) == 0
    plain = capsys.readouterr().out
    assert [line for line in plain.splitlines() if line not in quiet.splitlines()]
    with pytest.raises(SystemExit):
        _run(recordings, "--condition", "loud")


def test_two_sets_of_weights_stand_side_by_side(
    recordings: Path, weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    options = ("--bandwidths", 3, "--no-peers", "--no-lm", "--no-visqol", "--json", out)
    assert _run(recordings, "--weights", weights, "--against", "bundled", *options) == 0
    report = json.loads(out.read_text())
    rows = report["rows"]
    assert len({row["contender"] for row in rows}) == 2
    assert all(row["visqol"] is None for row in rows)
    assert not any("visqol" in note for note in report["notes"])
    assert [row["category"] for row in rows] == ["music", "music", "speech", "speech"]
    assert [each["category"] for each in report["differences"]] == ["music", "speech"]
    assert report["differences"][0]["other"] == rows[1]["contender"]


def test_intervals_are_printed_and_written(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(3):
        write_wav(tmp_path / "in" / "music" / f"{i}.wav", audio(1.1, i))
    out = tmp_path / "out.json"
    options = ("--bandwidths", 3, "--no-peers", "--no-lm", "--no-visqol", "--intervals")
    assert (
        _run(tmp_path / "in", "--weights", weights, "--against", "bundled", *options, "--json", out)
        == 0
    )
    report = json.loads(out.read_text())
    row, _ = report["rows"]
    low, high = row["intervals"]["mel_db"]
    assert low < row["mel_db"] < high
    (difference,) = report["differences"]
    mel = difference["figures"]["mel_db"]
    assert mel["value"] == pytest.approx(row["mel_db"] - report["rows"][1]["mel_db"])
    text = capsys.readouterr().out
    assert f"{low:.2f} … {high:.2f}" in text
    assert f"{mel['low']:+.2f} … {mel['high']:+.2f}" in text


def test_peers_alone_and_those_that_are_left_out(
    recordings: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opus.Opus, "missing", lambda _: "opusenc is not installed")
    assert _run(recordings, "--bandwidths", "--peer-rates", 4, 24) == 0
    text = capsys.readouterr().out
    assert "opus is left out: opusenc is not installed" in text
    assert "mp3 is left out at 4 kbps: it begins at 8" in text
    assert "encodec" not in text
    for peer in PEERS[2:]:
        assert peer.missing() or f"   24 {peer.name}" in text


def test_what_cannot_be_done_is_one_line(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(tmp_path, "--weights", weights) == 1
    assert "no recording that can be evaluated" in capsys.readouterr().err
    assert _run(tmp_path, "--weights", weights, "--bandwidths", 7) == 1
    assert "has no bandwidth of 7 kbps" in capsys.readouterr().err
    assert _run(tmp_path, "--weights", weights, "--json", tmp_path / "no" / "x.json") == 1
    assert "x.json cannot be written: No such file" in capsys.readouterr().err
    assert _run(tmp_path, "--weights", weights, "--csv", tmp_path) == 1
    assert "cannot be written: Is a directory" in capsys.readouterr().err
    alone = ("--bandwidths", "--peer-rates", 2, "--no-peers")
    assert _run(tmp_path, *alone, "--plot", tmp_path / "x.png") == 1
    assert "nothing to compare" in capsys.readouterr().err
    assert _run(tmp_path, "--weights", tmp_path / "nowhere") == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "argv",
    [
        [],
        [""],
        ["folder", "--listen", ""],
        ["folder", "--cache", "cache"],
        ["folder", "--jobs", "0"],
        ["folder", "--seconds", "-1"],
        ["folder", "--plot", "picture.doc"],
        ["folder", "--bandwidths"],
    ],
)
def test_wrong_usage_exits_with_2(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(argv)
    assert end.value.code == 2
