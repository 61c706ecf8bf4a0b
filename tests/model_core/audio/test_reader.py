import io
from pathlib import Path

import av
import numpy as np
import pytest

from model_core.audio import open_audio, wav_header
from model_core.audio.input import MediaInput
from model_core.audio.reader import MediaReader
from model_core.errors import InvalidAudioError
from tests.media import Floats, encode, float_wav, tone


def decoded(data: bytes) -> tuple[Floats, MediaReader]:
    reader = MediaReader(MediaInput(io.BytesIO(data)))
    try:
        return np.concatenate([samples for samples, _ in reader], axis=1), reader
    finally:
        reader.close()


@pytest.mark.parametrize("seconds", [0.5, 5])
def test_ac3_in_the_place_of_a_wavs_samples_is_found(seconds: float) -> None:
    """As on discs with surround sound: a WAV that says PCM and holds the frames of a codec."""
    coded = encode(tone(seconds, 44_100, 2), 44_100, "ac3", "ac3")
    coded = coded[: len(coded) // 4 * 4]
    _, reader = decoded(wav_header(44_100, 2, len(coded) // 4) + coded)
    assert reader.info.codec == "ac3"


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [
        ("flac", "flac", 96_000),
        ("mp3", "libmp3lame", 44_100),
        ("ogg", "libopus", 48_000),
        ("ipod", "aac", 44_100),
        ("webm", "libopus", 48_000),
        ("aiff", "pcm_s16be", 8_000),
        ("wav", "pcm_s16le", 44_101),
        ("ipod", "alac", 44_100),
    ],
)
def test_containers_and_codecs(container: str, codec: str, rate: int) -> None:
    samples = tone(1.0, rate, 2)
    got, reader = decoded(encode(samples, rate, container, codec))
    assert (reader.info.sample_rate, reader.info.channels) == (rate, 2)
    assert reader.info.codec == {"libmp3lame": "mp3float", "libopus": "opus"}.get(codec, codec)
    assert abs(got.shape[1] - rate) < 0.06 * rate  # lossy codecs pad to their frames
    length = min(got.shape[1], rate)
    error = got[:, :length] - samples[:, :length]
    shifted = min(
        float(np.mean(error**2)),
        *(float(np.mean((got[:, d:length] - samples[:, : length - d]) ** 2)) for d in (1105, 1024)),
    )
    assert shifted < 0.02 * float(np.mean(samples**2))


def test_wav_of_unknown_length_is_read_to_its_end() -> None:
    data = bytearray(encode(tone(0.5, 8000), 8000, "wav", "pcm_s16le"))
    data[4:8] = b"\xff" * 4
    start = data.index(b"data")
    data[start + 4 : start + 8] = b"\xff" * 4
    assert decoded(bytes(data))[0].shape == (1, 4000)


BROKEN = {
    "nothing": b"",
    "one byte": b"R",
    "zeros": bytes(5000),
    "text": b"this is not audio " * 500,
    "random": np.random.default_rng(0).bytes(200_000),
    "picture": encode(tone(0.1, 8000), 8000, "wav", "pcm_s16le")[:36],
    "no samples": float_wav(np.zeros((1, 0), np.float32), 8000),
    "NaN": float_wav(np.full((1, 100), np.nan, np.float32), 8000),
    "inf": float_wav(np.full((2, 100), -np.inf, np.float32), 8000),
    "one NaN late": float_wav(np.array([[*([0.1] * 99_999), np.nan]], np.float32), 8000),
    "rate too low": float_wav(np.zeros((1, 100), np.float32), 3_999),
    "rate too high": float_wav(np.zeros((1, 100), np.float32), 768_001),
    "too many channels": float_wav(np.zeros((65, 10), np.float32), 8000),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_input_is_a_typed_error(name: str) -> None:
    with pytest.raises(InvalidAudioError):
        list(open_audio(io.BytesIO(BROKEN[name]), 24_000, 1))


@pytest.mark.parametrize("seed", range(5))
def test_random_bytes_behind_a_header(seed: int) -> None:
    noise = np.random.default_rng(seed).bytes(20_000)
    for head in (b"\xff\xfb\x90\x64", b"ID3\x04\0\0\0\0\0\0", b"fLaC", b"OggS\0", b"\x1aE\xdf\xa3"):
        with pytest.raises(InvalidAudioError):
            list(open_audio(io.BytesIO(head + noise), 24_000, 1))


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("wav", "pcm_s16le"),
        ("wav", "pcm_f32le"),
        ("flac", "flac"),
        ("mp3", "libmp3lame"),
        ("ogg", "libopus"),
        ("ipod", "aac"),
        ("aiff", "pcm_s16be"),
        ("adts", "aac"),
        ("matroska", "flac"),
    ],
)
def test_truncated_audio_is_told(container: str, codec: str) -> None:
    data = encode(tone(3.0, 48_000, 2), 48_000, container, codec)
    assert list(open_audio(io.BytesIO(data), 24_000, 1))
    for part in (0.3, 0.5, 0.9):
        with pytest.raises(InvalidAudioError):
            list(open_audio(io.BytesIO(data[: int(len(data) * part)]), 24_000, 1))


def test_wav_cut_between_two_packets_is_told() -> None:
    data = encode(tone(3.0, 8000), 8000, "wav", "pcm_s16le")
    start = data.index(b"data") + 8
    with pytest.raises(InvalidAudioError, match="truncated"):
        list(open_audio(io.BytesIO(data[: start + 8 * 4096]), 24_000, 1))


def test_other_files_are_never_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret.wav"
    secret.write_bytes(encode(tone(1.0, 24_000), 24_000, "wav", "pcm_s16le"))
    lists = {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        "hls url": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n",
        "concat": f"ffconcat version 1.0\nfile '{secret}'\n",
        "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
        f"<Period><AdaptationSet><Representation><BaseURL>{secret}</BaseURL>"
        "</Representation></AdaptationSet></Period></MPD>",
        "sdp": "v=0\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
    }
    for name, text in lists.items():
        path = tmp_path / f"{name}.m3u8"
        path.write_text(text)
        for source in (io.BytesIO(text.encode()), path):
            with pytest.raises(InvalidAudioError):
                list(open_audio(source, 24_000, 1))


def test_video_without_sound_is_told() -> None:
    gif = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;"
    with pytest.raises(InvalidAudioError):
        list(open_audio(io.BytesIO(gif), 24_000, 1))


def test_rate_that_changes_is_told() -> None:
    parts = [encode(tone(1.0, rate, 2), rate, "adts", "aac") for rate in (44_100, 48_000)]
    with pytest.raises(InvalidAudioError, match="rate changes"):
        list(open_audio(io.BytesIO(b"".join(parts)), 24_000, 1))


@pytest.mark.parametrize("rate", [24_000, 44_100])
def test_the_padding_of_an_mp3_is_dropped_as_in_a_file(rate: int, tmp_path: Path) -> None:
    """A pipe for FFmpeg, which keeps it there, and what is appended to such a file stays."""
    data = encode(tone(0.9, rate, 2), rate, "mp3", "libmp3lame")
    path = tmp_path / "x.mp3"
    path.write_bytes(data)
    with av.open(str(path)) as container:
        expected = sum(frame.samples for frame in container.decode(audio=0))
    one = decoded(data)[0]
    assert one.shape == (2, expected)
    assert decoded(data + data)[0].shape[1] > 1.9 * expected


@pytest.mark.parametrize(("stored", "valid"), [(32, 24), (32, 20), (32, 16), (24, 20), (24, 16)])
def test_bits_that_are_not_valid_are_zeros(stored: int, valid: int) -> None:
    """WAVEFORMATEXTENSIBLE: samples are justified to the left in what is stored of them."""
    wave = tone(0.1, 24_000)[0]
    whole = np.round(wave.astype(np.float64) * (1 << (valid - 1))).astype(np.int64)
    width = stored // 8
    data = b"".join(
        (int(x) << (stored - valid)).to_bytes(width, "little", signed=True) for x in whole
    )

    def number(value: int, size: int) -> bytes:
        return value.to_bytes(size, "little")

    form = number(0xFFFE, 2) + number(1, 2) + number(24_000, 4) + number(24_000 * width, 4)
    form += number(width, 2) + number(stored, 2) + number(22, 2) + number(valid, 2) + number(4, 4)
    form += bytes.fromhex("0100000000001000800000aa00389b71")
    chunks = b"fmt " + number(len(form), 4) + form + b"data" + number(len(data), 4) + data
    file = b"RIFF" + number(4 + len(chunks), 4) + b"WAVE" + chunks
    samples, _ = decoded(file)
    assert samples.shape == (1, len(wave))
    np.testing.assert_allclose(samples[0], wave, atol=2.0**-14)
