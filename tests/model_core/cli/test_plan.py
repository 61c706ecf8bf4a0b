"""Which input becomes which output, and which outputs are refused."""

from pathlib import Path

from model_core.audio import FORMATS
from model_core.cli.suffixes import DECODED

from .conftest import (
    OTHERS,
    WAVS,
    Command,
    files_in,
    refused,
    write_wav,
)


def test_a_folder(encodec: Command, folder: Path) -> None:
    outcome = encodec(folder)
    assert (outcome.code, outcome.out) == (0, b"")
    assert files_in(folder) == OTHERS | WAVS | {"a.ecdc", "b.ecdc", "c.ecdc"}
    for line, name in zip(outcome.lines, sorted(WAVS), strict=True):
        target = (folder / name).with_suffix(".ecdc")
        size = target.stat().st_size
        assert f"{folder / name} -> {target}: {size:,} bytes, {size * 8 / 100:.2f} kbps" in line


def test_subfolders_are_searched_and_made_again(
    encodec: Command, folder: Path, tmp_path: Path
) -> None:
    for place in ("deeper", "deeper/still", ".hidden"):
        (folder / place).mkdir(exist_ok=True)
        write_wav(folder / place / "a.wav", seconds=0.1)
    out = folder / "out" / "new"
    for flags in ([], ["-f"]):
        outcome = encodec(*flags, "-o", out, folder)
        assert (outcome.code, len(outcome.lines)) == (0, 5)
        assert files_in(out) == {"a.ecdc", "b.ecdc", "c.ecdc", "deeper"}
        assert files_in(out / "deeper") == {"a.ecdc", "still"}
        assert files_in(out / "deeper" / "still") == {"a.ecdc"}
    wavs = tmp_path / "wavs"
    for _ in range(2):
        assert encodec("-f", "-o", out / "wavs", out).code == 0
        assert (out / "wavs" / "deeper" / "still" / "a_decompressed.wav").is_file()
    assert encodec("-o", wavs, out / "deeper", out / "deeper" / "still").code == 1  # a.ecdc twice
    assert files_in(wavs) == {"a_decompressed.wav", "still"}


def test_outputs_of_a_folder_that_exist_are_skipped(encodec: Command, folder: Path) -> None:
    (folder / "b.ecdc").write_bytes(b"precious")
    outcome = encodec(folder)
    assert (outcome.code, len(outcome.lines)) == (0, 3)
    assert f"{folder / 'b.WAV'}: skipped" in outcome.lines[1]
    assert "-f" in outcome.lines[1]
    assert (folder / "b.ecdc").read_bytes() == b"precious"
    assert {"a.ecdc", "c.ecdc"} <= files_in(folder)
    assert encodec("-f", folder).code == 0
    assert (folder / "b.ecdc").read_bytes()[:4] == b"ECDC"


def test_a_folder_and_back_in_another(encodec: Command, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert encodec("-o", out, folder).code == 0
    assert files_in(folder) == OTHERS | WAVS
    assert files_in(out) == {"a.ecdc", "b.ecdc", "c.ecdc"}
    assert encodec("--output-dir", out, out).code == 0
    assert files_in(out) == {
        *("a.ecdc", "b.ecdc", "c.ecdc"),
        *("a_decompressed.wav", "b_decompressed.wav", "c_decompressed.wav"),
    }


def test_files_both_ways(encodec: Command, folder: Path, tmp_path: Path) -> None:
    encodec(folder / "a.wav")
    outcome = encodec(folder / "a.ecdc", folder / "b.WAV", folder / "c.wav")
    assert (outcome.code, outcome.err) == (0, "")
    assert {"a_decompressed.wav", "b.ecdc", "c.ecdc"} <= files_in(folder)


def test_one_is_the_same_as_many(encodec: Command, folder: Path, tmp_path: Path) -> None:
    encodec(folder)
    encodec(folder / "c.wav", tmp_path / "c.ecdc")
    assert (tmp_path / "c.ecdc").read_bytes() == (folder / "c.ecdc").read_bytes()


def test_two_that_are_not_input_and_output(encodec: Command, folder: Path, tmp_path: Path) -> None:
    """Neither is new nor can the second be an output."""
    for name in ("a", "b"):
        write_wav(tmp_path / f"{name}.snd", seconds=0.1)
    assert encodec(tmp_path / "a.snd", tmp_path / "b.snd").code == 0
    assert {"a.ecdc", "b.ecdc"} <= files_in(tmp_path)


def test_two_ecdc_are_two_inputs(encodec: Command, folder: Path) -> None:
    encodec(folder)
    outcome = encodec(folder / "a.ecdc", folder / "c.ecdc")
    assert (outcome.code, outcome.err) == (0, "")
    assert {"a_decompressed.wav", "c_decompressed.wav"} <= files_in(folder)


def test_two_with_an_existing_wav_are_input_and_output(encodec: Command, folder: Path) -> None:
    """As in the reference; the message says how they are two inputs."""
    outcome = encodec(folder / "a.wav", folder / "c.wav")
    assert outcome.code == 1
    assert "-f" in outcome.err
    assert "-o DIR to compress both" in outcome.err
    assert files_in(folder) == OTHERS | WAVS
    assert encodec("-o", folder / "deeper", folder / "a.wav", folder / "c.wav").code == 0
    assert files_in(folder / "deeper") == {"a.ecdc", "c.ecdc"}


def test_every_format_has_a_name() -> None:
    """And each name the format that it has elsewhere."""
    assert set(DECODED.values()) == set(FORMATS)
    assert all(DECODED[made.suffix] == name for name, made in FORMATS.items())


def test_two_recordings_are_two_inputs(encodec: Command, folder: Path) -> None:
    """A .flac is an output of an .ecdc alone."""
    (folder / "c.wav").rename(folder / "c.flac")
    assert encodec(folder / "a.wav", folder / "c.flac").code == 0
    assert {"a.ecdc", "c.ecdc", "c.flac"} <= files_in(folder)


def test_a_recording_that_is_replaced_is_told(encodec: Command, folder: Path) -> None:
    """`-f *.wav` may not have meant it."""
    outcome = encodec("-f", folder / "a.wav", folder / "c.wav")
    assert outcome.code == 0
    (line,) = outcome.lines
    assert f"{folder / 'c.wav'} existed" in line
    assert encodec("-f", folder / "a.wav", folder / "new.wav").err == ""


def test_a_folder_is_no_output(encodec: Command, folder: Path) -> None:
    outcome = encodec(folder / "a.wav", folder / "deeper")
    assert outcome.code == 2
    assert "-o" in outcome.err
    assert files_in(folder) == OTHERS | WAVS


def test_nothing_in_the_folder(encodec: Command, folder: Path) -> None:
    outcome = encodec(folder / "deeper")
    assert (outcome.code, len(outcome.lines)) == (1, 1)


def test_outputs_do_not_overwrite_each_other(encodec: Command, folder: Path) -> None:
    write_wav(folder / "a.snd", seconds=0.2)
    outcome = encodec("-f", folder)
    assert (outcome.code, len(outcome.lines)) == (1, 4)
    assert "a.ecdc is also that of" in outcome.err
    assert {"a.ecdc", "b.ecdc", "c.ecdc"} <= files_in(folder)
    again = encodec(folder)
    assert again.code == 1, "one of them has not been compressed"
    assert "a.ecdc is also that of" in again.err
    assert again.err.count("skipped") == 3


def test_the_output_of_what_failed_can_be_that_of_another(encodec: Command, folder: Path) -> None:
    (folder / "a.aiff").write_bytes(b"this is no audio")
    outcome = encodec("-f", folder)
    assert (outcome.code, len(outcome.lines)) == (1, 4)
    assert "not readable as audio" in outcome.lines[0]
    assert "a.ecdc" in files_in(folder)


def test_outputs_do_not_overwrite_inputs(encodec: Command, folder: Path) -> None:
    encodec(folder / "a.wav")
    before = (folder / "a.wav").read_bytes()
    outcome = encodec("-f", "-s", "", folder / "a.ecdc", folder / "a.wav", folder / "c.wav")
    assert outcome.code == 1
    assert [line.split(": ")[1] for line in outcome.lines] == [
        str(folder / "a.ecdc"),
        str(folder / "a.wav"),
    ]
    assert (folder / "a.wav").read_bytes() == before
    assert "c.ecdc" in files_in(folder)


def test_no_input(encodec: Command, tmp_path: Path) -> None:
    refused(encodec(tmp_path / "none.wav"), "none.wav", "no such")
    refused(encodec(tmp_path / "none.wav", tmp_path / "y.ecdc"), "none.wav")
    assert files_in(tmp_path) == set()


def test_existing_output_needs_force(encodec: Command, wav: Path, tmp_path: Path) -> None:
    for name, source in (("x.ecdc", wav), ("y.ecdc", wav), ("y.wav", wav)):
        target = tmp_path / name
        target.write_bytes(b"precious")
        names = [source] if name == "x.ecdc" else [source, target]
        refused(encodec(*names), name, "-f")
        assert target.read_bytes() == b"precious"
    assert encodec("--force", wav).code == 0
    assert encodec("-f", wav, tmp_path / "y.wav").code == 0
    assert (tmp_path / "x.ecdc").read_bytes()[:4] == b"ECDC"
    assert (tmp_path / "y.wav").read_bytes()[:4] == b"RIFF"


def test_output_extension(encodec: Command, wav: Path, tmp_path: Path) -> None:
    refused(encodec(wav, tmp_path / "y.mp3"), "y.mp3", ".wav", ".ecdc")
    refused(encodec(wav, tmp_path / "y.flac"), "y.flac", ".wav", ".ecdc")
    encodec(wav)
    refused(encodec(tmp_path / "x.ecdc", tmp_path / "y.ecdc"), "y.ecdc", ".wav", ".flac")
    refused(encodec(tmp_path / "x.ecdc", tmp_path / "y.aac"), "y.aac", ".wav", ".mp3")
    assert files_in(tmp_path) == {"x.wav", "x.ecdc"}


def test_output_folder(encodec: Command, wav: Path, tmp_path: Path) -> None:
    refused(encodec(wav, tmp_path / "none" / "y.ecdc"), "none", "does not exist")
    assert encodec("-o", wav, wav).code == 2
    (tmp_path / "y.ecdc").mkdir()
    assert encodec(wav, tmp_path / "y.ecdc").code == 2


def test_output_that_is_the_input(encodec: Command, wav: Path, tmp_path: Path) -> None:
    before = wav.read_bytes()
    (tmp_path / "link.wav").symlink_to(wav)
    (tmp_path / "hard.wav").hardlink_to(wav)
    for name in ("x.wav", "link.wav", "hard.wav", "../" + tmp_path.name + "/x.wav"):
        refused(encodec("-f", wav, tmp_path / name), "input")
    assert wav.read_bytes() == before


def test_the_output_folder_is_made(encodec: Command, wav: Path, tmp_path: Path) -> None:
    outcome = encodec("-o", tmp_path / "new" / "folder", wav)
    assert (outcome.code, outcome.err) == (0, "")
    assert files_in(tmp_path / "new" / "folder") == {"x.ecdc"}


def test_names_with_dots_are_kept(encodec: Command, tmp_path: Path) -> None:
    write_wav(tmp_path / "x.1.wav", seconds=0.1)
    assert encodec(tmp_path / "x.1.wav").code == 0
    assert encodec(tmp_path / "x.1.ecdc").code == 0
    assert files_in(tmp_path) == {"x.1.wav", "x.1.ecdc", "x.1_decompressed.wav"}
