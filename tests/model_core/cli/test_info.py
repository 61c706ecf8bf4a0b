"""`--info`: what files are, and exit code 1 where one is damaged."""

from pathlib import Path

from model_core.audio import open_audio
from model_core.ecdc.v1 import Header
from tests.media import tagged, tone
from tests.model_core.ecdc.v1.files import MONO, STEREO, example

from .conftest import Command, files_in, refused


def test_files_of_both_versions_are_described(encodec: Command, wav: Path, tmp_path: Path) -> None:
    for version, lm in (("0", []), ("1", ["--lm"])):
        encodec("--format", version, *lm, wav, tmp_path / f"{version}.ecdc")
    before = files_in(tmp_path)
    outcome = encodec("--info", tmp_path / "0.ecdc", tmp_path / "1.ecdc")
    assert (outcome.code, outcome.err) == (0, "")
    assert files_in(tmp_path) == before
    text = outcome.out.decode()
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if not line.startswith(" ")]
    assert [lines[number] for number in starts] == [str(tmp_path / f"{v}.ecdc") for v in "01"]
    first, second = lines[: starts[1]], lines[starts[1] :]
    facts = [{line[2:14].strip(): line[14:] for line in part} for part in (first, second)]
    assert [found["version"] for found in facts] == ["0", "1"]
    for found in facts:
        assert found["model"] == "encodec_24khz: 24,000 Hz, mono"
        assert len(found["weights"]) == 8
        assert found["duration"] == "0.400 s, 9,600 samples"
        assert found["bit rate"].endswith(" kbps")
        assert found["codebooks"] == "8, 6 kbps"
    assert facts[0]["lm"] == "no"
    assert facts[0]["state"].startswith("intact: the length fits")
    assert facts[1]["lm"].startswith("yes, weights ")
    assert facts[1]["chunks"] == "1"
    assert facts[1]["original"].endswith("x.wav")
    assert facts[1]["state"] == "intact"


def test_what_a_file_says_cannot_control_the_terminal(encodec: Command, tmp_path: Path) -> None:
    tags = (("TITLE", "two\nlines\x1b[2J"), ("ARTIST", "Zoë"))
    file = example(Header(STEREO, 2, 0, 1, 44_100, 6, "a \x85 b", tags=tags), 50_000)
    (tmp_path / "x.ecdc").write_bytes(file.data)
    out = encodec("--info", tmp_path / "x.ecdc").out.decode()
    assert "TITLE=two\\nlines\\x1b[2J" in out
    assert "ARTIST=Zoë" in out
    assert "44,100 Hz, 6 channels, a \\x85 b" in out


def test_a_damaged_file_is_said_and_fails(encodec: Command, tmp_path: Path) -> None:
    file = example(Header(MONO, 2, 0, 4), 9000)
    changed = bytearray(file.data)
    changed[file.bounds[2] + 5] ^= 1
    names = {"good": file.data, "changed": bytes(changed), "cut": file.open, "none": b"RIFF"}
    for name, data in names.items():
        (tmp_path / f"{name}.ecdc").write_bytes(data)
    outcome = encodec("--info", tmp_path / "good.ecdc")
    assert outcome.code == 0
    for name, word in (("changed", "chunk 2 is damaged"), ("cut", "has no end")):
        outcome = encodec("--info", tmp_path / "good.ecdc", tmp_path / f"{name}.ecdc")
        assert outcome.code == 1
        assert "state       damaged: " in outcome.out.decode()
        assert word in outcome.out.decode()
    refused(encodec("--info", tmp_path / "none.ecdc"), "not an .ecdc file")
    refused(encodec("--info", tmp_path / "missing.ecdc"), "no such input")
    outcome = encodec("--info", tmp_path)
    assert outcome.code == 1
    assert outcome.out.decode().count("version") == 3


def test_stdin_and_folders(encodec: Command, tmp_path: Path) -> None:
    file = example(Header(MONO, 2, 0, 4), 9000)
    outcome = encodec("--info", "-", stdin=file.data)
    assert (outcome.code, outcome.out.decode().splitlines()[0]) == (0, "-")
    refused(encodec("--info", tmp_path), "holds no .ecdc files")


def test_tags_and_length_of_the_original_come_through(encodec: Command, tmp_path: Path) -> None:
    song = tmp_path / "song.flac"
    song.write_bytes(tagged("flac", "flac", tone(0.5, 44_100, 2), 44_100, {"title": "A song"}))
    encodec("--format", "1", song, tmp_path / "song.ecdc")
    out = encodec("--info", tmp_path / "song.ecdc").out.decode()
    assert "original    44,100 Hz, stereo, 22,050 samples, song.flac\n" in out
    assert "tag         TITLE=A song\n" in out
    encodec(tmp_path / "song.ecdc", tmp_path / "back.mp3")
    with open_audio(tmp_path / "back.mp3", 24_000, 1) as source:
        assert source.info.tags == (("TITLE", "A song"),)
