"""The packed samples are the samples."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from model_core.errors import TrainingDataError
from model_core.training.data.build import pack_cache
from model_core.training.data.cache import AudioCache
from model_core.training.data.pack import read_pack, write_pack
from tests.model_core.training.data.fixtures import MIXED, write_cache


def _tones(length: int) -> npt.NDArray[np.int16]:
    time = np.arange(length) / 24_000
    tones = sum(np.sin(6.28 * f * time + f) for f in (220, 441, 1500)) * 8000
    noise = np.random.default_rng(1).normal(0, 30, (2, length))
    return (tones + noise).astype(np.int16)


@pytest.mark.parametrize(
    "audio",
    [
        _tones(10_000),
        np.zeros((1, 5000), np.int16),
        np.random.default_rng(1).integers(-32768, 32768, (1, 9000)).astype(np.int16),
        np.tile(np.array([[32767, -32768]], np.int16), 3000),
        np.array([[-5]], np.int16),
    ],
    ids=["tones", "silence", "noise", "extremes", "one"],
)
def test_comes_back_exactly(tmp_path: Path, audio: npt.NDArray[np.int16]) -> None:
    write_pack(audio, tmp_path / "p")
    assert np.array_equal(read_pack(tmp_path / "p"), audio)


def test_is_smaller_and_with_noise_smaller_still(tmp_path: Path) -> None:
    audio = _tones(40_000)
    write_pack(audio, tmp_path / "p")
    write_pack(audio, tmp_path / "n", noise_db=40)
    sizes = [(tmp_path / name).stat().st_size / audio.nbytes for name in ("p", "n")]
    assert sizes[0] < 0.6
    assert sizes[1] < 0.7 * sizes[0]
    noise = (read_pack(tmp_path / "n") - audio.astype(np.float64)).std()
    assert 40 < 20 * np.log10(audio.std() / noise) < 47


def test_a_packed_cache_reads_the_same(tmp_path: Path) -> None:
    folder = write_cache(tmp_path / "c", MIXED, channels=2)
    pack_cache(folder, tmp_path / "p")
    assert not (tmp_path / "p" / "audio.npy").exists()
    one, other = AudioCache(folder), AudioCache(tmp_path / "p")
    assert one.recordings == other.recordings
    for recording in one.recordings:
        a, b = (c.read(recording, 3, 5000) for c in (one, other))
        assert torch.equal(a, b)


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    write_pack(_tones(10_000), tmp_path / "p")
    whole = (tmp_path / "p").read_bytes()
    for size in (0, 60, 200, len(whole) // 2, len(whole) - 33, len(whole) - 32, len(whole) - 1):
        (tmp_path / "p").write_bytes(whole[:size])
        with pytest.raises(TrainingDataError, match="cannot be read"):
            read_pack(tmp_path / "p")


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    folder = write_cache(tmp_path / "c", MIXED)
    pack_cache(folder, tmp_path / "p")
    path = tmp_path / "p" / "audio.pack"
    whole = path.read_bytes()
    places = np.random.default_rng(1).integers(0, len(whole), 40)
    for place in [*range(0, 140, 3), *places, len(whole) - 1]:
        for flipped in (1, 0x2F):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ flipped]) + whole[place + 1 :])
            with pytest.raises(TrainingDataError, match=r"audio\.pack cannot be read"):
                AudioCache(tmp_path / "p")
    path.write_bytes(whole + b"\0")
    with pytest.raises(TrainingDataError, match="checksum"):
        AudioCache(tmp_path / "p")


def _without_checksum(pack: bytes) -> bytes:
    """The file as the first version wrote it, which began with `[C, N]` and just ended."""
    new, old = io.BytesIO(pack), io.BytesIO()
    np.save(old, np.load(new)[:2])
    return old.getvalue() + pack[new.tell() : -32]


def test_a_file_of_the_first_version_is_read_and_refused_where_it_shows(tmp_path: Path) -> None:
    audio = _tones(10_000)
    write_pack(audio, tmp_path / "p")
    old = _without_checksum((tmp_path / "p").read_bytes())
    (tmp_path / "p").write_bytes(old)
    assert np.array_equal(read_pack(tmp_path / "p"), audio)
    larger = io.BytesIO()
    np.save(larger, np.array([2, 10**15]))
    for begin in (b"PK\3\4", old[:60].replace(b"{", b"("), larger.getvalue()):
        (tmp_path / "p").write_bytes(begin + old[len(begin) :])
        with pytest.raises(TrainingDataError, match="cannot be read"):
            read_pack(tmp_path / "p")
