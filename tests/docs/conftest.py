"""The service and the recordings that the examples of the documentation need."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_core.cli import main as encodec
from model_core.utils import save_audio
from tests.docs.running import Reader
from tests.media import encode, tone
from tests.service.process import SERVICE, started
from tests.signals import signal


@pytest.fixture(scope="session")
def service_url() -> Iterator[str]:
    """A service of its own process with the bundled weights."""
    with (
        started(SERVICE, Path("bundled"), "--threads", "2") as process,
        process.ready() as client,
    ):
        yield str(client.base_url).rstrip("/")


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the examples name."""
    folder = tmp_path_factory.mktemp("recordings")
    save_audio(signal(2, 44_100, 44_100), folder / "speech.wav", 44_100)
    (folder / "speech.mp3").write_bytes(encode(tone(2.5, 44_100), 44_100, "mp3", "libmp3lame"))
    (folder / "music.flac").write_bytes(encode(tone(2, 48_000, 2), 48_000, "flac", "flac"))
    (folder / "talk.mkv").write_bytes(encode(tone(76, 48_000), 48_000, "matroska", "libopus"))
    (folder / "speech.pcm").write_bytes(bytes(2 * 24_000))
    for name in ("a.wav", "more/b.wav"):
        path = folder / "recordings" / name
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(folder / "speech.wav", path)
    for name in (".zfunc", ".config/fish/completions"):  # of a reader with these shells
        (folder / name).mkdir(parents=True)
    _write_damaged(folder)
    return folder


def _write_damaged(folder: Path) -> None:
    """A version 1 file of which one chunk is damaged."""
    file = folder / "damaged.ecdc"
    source = str(folder / "speech.mp3")
    assert encodec(["--weights", "bundled", "--format", "1", source, str(file)]) == 0
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)


@pytest.fixture
def reader(
    service_url: str, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Reader:
    """A reader with recordings of their own, in their folder."""
    folder = tmp_path / "here"
    shutil.copytree(recordings, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ENCODEC_WEIGHTS", "bundled")
    monkeypatch.setenv("TMPDIR", os.fspath(tmp_path))
    return Reader(folder, service_url)
