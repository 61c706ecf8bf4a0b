"""The service and the recordings that the examples of the documentation need."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

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
        TemporaryDirectory() as jobs,
        started(SERVICE, Path("bundled"), "--threads", "2", "--jobs-dir", jobs) as process,
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
    shutil.copyfile(folder / "music.flac", folder / "lecture.flac")
    (folder / "talk.mkv").write_bytes(encode(tone(76, 48_000), 48_000, "matroska", "libopus"))
    (folder / "speech.pcm").write_bytes(bytes(2 * 24_000))
    for name in ("a.wav", "more/b.wav", "../more_recordings/c.wav"):
        path = folder / "recordings" / name
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(folder / "speech.wav", path)
    for name in (".zfunc", ".config/fish/completions"):  # of a reader with these shells
        (folder / name).mkdir(parents=True)
    (folder / "talk.wav").write_bytes(encode(tone(15, 24_000), 24_000, "wav", "pcm_s16le"))
    options = ["--weights", "bundled", "--format", "1"]
    assert encodec([*options, f"{folder}/talk.wav", f"{folder}/talk.ecdc"]) == 0
    damaged = bytearray((folder / "talk.ecdc").read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    (folder / "damaged.ecdc").write_bytes(damaged)
    return folder


@pytest.fixture
def reader(
    service_url: str, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Reader:
    """A reader with recordings of their own, in their folder."""
    folder = tmp_path / "here"
    shutil.copytree(recordings, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ENCODEC_WEIGHTS", "bundled")
    return Reader(folder, service_url)
