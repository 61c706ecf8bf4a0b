"""Encoding once and writing every bandwidth from it gives the files that the codec writes."""

import io
from pathlib import Path

import numpy as np
import pytest

from model_core.codec import Codec, Compressor, Decompressor, iterate_now, run_now
from model_core.ecdc import read_header
from model_core.evaluation.codec_run import coded
from model_core.evaluation.usage import Usage

from .conftest import audio


def _file(codec: Codec, samples: np.ndarray, bandwidth: float, lm: bool) -> bytes:
    compressor = Compressor(codec, bandwidth, lm)
    payload = run_now(compressor.push(samples)) + run_now(compressor.finish())
    return compressor.header.to_bytes() + payload


def test_sizes_and_samples_are_those_of_the_files(weights: Path) -> None:
    codec = Codec.load("encodec_24khz", str(weights))
    x = audio(1.3)
    results, codes = coded(codec, x, (6.0, 1.5), lm=True)
    assert codes.shape == (8, codec.config.frames(x.shape[1]))
    assert [result.kbps for result in results] == [6.0, 1.5]
    for result in results:
        data = _file(codec, x, result.kbps, lm=False)
        header = read_header(fo := io.BytesIO(data))
        assert (result.file_bytes, result.payload_bytes) == (len(data), len(data) - fo.tell())
        blocks = list(iterate_now(Decompressor(codec, header, fo).blocks()))
        np.testing.assert_array_equal(result.samples, np.concatenate(blocks, axis=1))
        assert result.lm_bytes == len(_file(codec, x, result.kbps, lm=True))


def test_segments_of_the_stereo_model() -> None:
    codec = Codec.load("encodec_48khz", "bundled")
    x = np.concatenate([audio(0.6, 1), audio(0.6, 2)]).repeat(2, axis=1)
    results, codes = coded(codec, x, (3.0, 12.0), lm=False)
    assert codes.shape[0] == 8
    for result in results:
        assert result.file_bytes == len(_file(codec, x, result.kbps, lm=False))
        assert result.samples.shape == x.shape
        assert result.lm_bytes is None


def test_use_of_codebooks_adds_up() -> None:
    first = Usage.of(np.array([[0, 1, 1, 0], [2, 2, 2, 2]]), bins=4, seconds=1.0)
    second = Usage.of(np.array([[3, 3, 3, 3], [2, 2, 2, 2]]), bins=4, seconds=2.0)
    total = first + second
    assert total.seconds == 3
    assert total.counts.tolist() == [[2, 2, 0, 4], [0, 0, 8, 0]]
    assert total.unused_percent == [25, 75]
    assert total.most_unused_percent == 75
    assert total.entropy_bits == pytest.approx([1.5, 0.0], abs=1e-6)
