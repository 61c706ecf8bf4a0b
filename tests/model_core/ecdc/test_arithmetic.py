"""The arithmetic coder: the reference's bytes, and the reference's reading of them."""

import io
from collections.abc import Iterable
from contextlib import suppress
from itertools import repeat

import numpy as np
import pytest
import torch
from encodec.quantization import ac
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model_core.ecdc import ArithmeticCoder, ArithmeticDecoder, build_stable_quantized_cdf
from model_core.errors import BitstreamError, TruncatedBitstreamError

Ints = NDArray[np.int64]


def make(
    seed: int,
    steps: int,
    symbols: int,
    sharpness: float,
    likely: str,
    bits: int = 24,
    dtype: torch.dtype = torch.float32,
) -> tuple[Ints, Ints]:
    """`steps` symbols `[S]` and their cdfs `[S, N]`, drawn, or the rarest or likeliest ones.

    In float32, as from the language model, peaked cdfs may end a little past 2**bits.
    """
    generator = torch.Generator().manual_seed(seed)
    pdf = torch.softmax(
        sharpness * torch.randn(steps, symbols, generator=generator, dtype=dtype), dim=-1
    )
    drawn = torch.multinomial(pdf, 1, generator=generator)[:, 0]
    chosen = {
        "drawn": drawn,
        "rarest": pdf.argmin(-1),
        "likeliest": pdf.argmax(-1),
        "mixed": torch.where(torch.rand(steps, generator=generator) < 0.1, pdf.argmin(-1), drawn),
        "first": torch.zeros_like(drawn),
        "last": torch.full_like(drawn, symbols - 1),
    }[likely]
    return chosen.numpy(), build_stable_quantized_cdf(pdf, bits, check=False).numpy()


def reference_bytes(symbols: Ints, cdfs: Ints, bits: int = 24) -> bytes:
    fo = io.BytesIO()
    coder = ac.ArithmeticCoder(fo, bits)
    for symbol, cdf in zip(symbols.tolist(), torch.from_numpy(cdfs), strict=True):
        coder.push(symbol, cdf)
    coder.flush()
    return fo.getvalue()


def reference_reads(data: bytes, symbols: Ints, cdfs: Ints, bits: int = 24) -> bool:
    decoder = ac.ArithmeticDecoder(io.BytesIO(data), bits)
    with suppress(RuntimeError):
        return [decoder.pull(cdf) for cdf in torch.from_numpy(cdfs)] == symbols.tolist()
    return False


def pull_all(decoder: ArithmeticDecoder, cdfs: Iterable[Ints], into: list[int]) -> None:
    for cdf in cdfs:
        into.append(decoder.pull(cdf))


def our_bytes(symbols: Ints, cdfs: Ints, bits: int = 24) -> bytes:
    coder = ArithmeticCoder(bits)
    coder.push_many(symbols, cdfs)
    return coder.flush()


cases = st.tuples(
    st.integers(0, 2**31),
    st.integers(1, 40),
    st.sampled_from([1, 2, 3, 16, 1024]),
    st.sampled_from([0.0, 1.0, 4.0, 30.0, 1000.0]),
    st.sampled_from(["drawn", "rarest", "likeliest", "mixed", "first", "last"]),
)


@settings(deadline=None, derandomize=True)
@given(cases, st.binary(max_size=9), st.sampled_from([14, 24, 26]))
def test_both_ways_as_the_reference(
    case: tuple[int, int, int, float, str], tail: bytes, bits: int
) -> None:
    symbols, cdfs = make(*case, bits=bits)
    try:
        expected = reference_bytes(symbols, cdfs, bits)
    except AssertionError:
        expected = None  # it cannot always code a cdf that overruns its range
        assert (cdfs[:, -1] > 2**bits).any()
    try:
        data = our_bytes(symbols, cdfs, bits)
    except ValueError:
        assert expected is None or not reference_reads(expected, symbols, cdfs, bits)
        return
    assert expected in (None, data)

    ours, theirs = io.BytesIO(data + tail), io.BytesIO(data + tail)
    assert ArithmeticDecoder(ours, bits).pull_many(cdfs).tolist() == symbols.tolist()
    decoder = ac.ArithmeticDecoder(theirs, bits)
    assert [decoder.pull(cdf) for cdf in torch.from_numpy(cdfs)] == symbols.tolist()
    assert ours.tell() == theirs.tell() == len(data)


@pytest.mark.parametrize("likely", ["drawn", "mixed", "rarest", "likeliest"])
def test_thousands_of_symbols(likely: str) -> None:
    symbols, cdfs = make(0, 4000, 1024, 3.0, likely)
    data = our_bytes(symbols, cdfs)
    assert data == reference_bytes(symbols, cdfs)
    assert (ArithmeticDecoder(io.BytesIO(data)).pull_many(cdfs) == symbols).all()


def test_the_cost_is_the_entropy() -> None:
    symbols, cdfs = make(1, 4000, 1024, 3.0, "drawn")
    widths = np.diff(cdfs, axis=1, prepend=0)[np.arange(4000), symbols]
    ideal = -np.log2(widths / 2**24).sum() / 8
    assert ideal <= len(our_bytes(symbols, cdfs)) <= 1.001 * ideal + 8


@settings(deadline=None, derandomize=True)
@given(cases)
def test_one_by_one_and_taken_early_is_the_same(case: tuple[int, int, int, float, str]) -> None:
    symbols, cdfs = make(*case, dtype=torch.float64)
    coder = ArithmeticCoder()
    data = b""
    for symbol, cdf in zip(symbols.tolist(), cdfs, strict=True):
        coder.push(symbol, cdf)
        data += coder.take()
    assert data + coder.flush() == our_bytes(symbols, cdfs)
    assert coder.flush() == b""


def test_segments_follow_each_other_at_byte_boundaries() -> None:
    coder = ArithmeticCoder()  # one coder, reused after each flush
    parts = [make(seed, 5 + seed, 1024, 2.0, "mixed") for seed in range(30)]
    data = b""
    for symbols, cdfs in parts:
        coder.push_many(symbols, cdfs)
        part = coder.flush()
        assert part == reference_bytes(symbols, cdfs)
        data += b"SCAL" + part
    fo = io.BytesIO(data)
    for symbols, cdfs in parts:
        assert fo.read(4) == b"SCAL"
        assert (ArithmeticDecoder(fo).pull_many(cdfs) == symbols).all()
    assert fo.read() == b""


def test_short_reads_are_enough() -> None:
    class OneByteAtATime(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(1, -1 if size is None else size))

    symbols, cdfs = make(2, 100, 1024, 1.0, "rarest")
    fo = OneByteAtATime(our_bytes(symbols, cdfs))
    assert (ArithmeticDecoder(fo).pull_many(cdfs) == symbols).all()


def test_a_range_that_stays_open_long_is_coded_all_the_same() -> None:
    """Symbols around the middle settle no bit; the reference gives up past 61 open bits."""
    total = 2**24
    middle = np.array([total // 2 - 4, total // 2 + 4, total])
    straddle = np.ones(12, np.int64)
    cdfs = np.tile(middle, (len(straddle), 1))
    with pytest.raises(AssertionError):
        reference_bytes(straddle, cdfs)
    data = our_bytes(straddle, cdfs)
    assert (ArithmeticDecoder(io.BytesIO(data)).pull_many(cdfs) == straddle).all()
    assert reference_reads(data, straddle, cdfs)


def test_a_cdf_that_overruns_its_range_is_coded_all_the_same() -> None:
    """Rounding may put the end of a cdf past 2**24; the reference's decoder does not mind."""
    symbols = np.array([2, 2, 0, 2, 1, 2, 2, 2])
    cdfs = np.tile(np.array([2**20, 2**23, 2**24 + 3]), (len(symbols), 1))
    with pytest.raises(AssertionError):
        reference_bytes(symbols, cdfs)
    data = our_bytes(symbols, cdfs)
    fo = io.BytesIO(data + b"more")
    assert (ArithmeticDecoder(fo).pull_many(cdfs) == symbols).all()
    assert fo.tell() == len(data)
    assert reference_reads(data, symbols, cdfs)


def test_a_symbol_all_past_the_range_is_refused_rather_than_lost() -> None:
    cdfs = np.array([[3 * 2**22, 2**24], [2**24, 2**24 + 2], [2**23, 2**24]])
    symbols = np.array([0, 1, 0])
    assert not reference_reads(reference_bytes(symbols, cdfs), symbols, cdfs)
    with pytest.raises(ValueError, match="no range"):
        our_bytes(symbols, cdfs)


def test_a_forged_range_does_not_stay_open_for_ever() -> None:
    cdf = np.array([2**23 - 4, 2**23 + 4, 2**24])
    decoder = ArithmeticDecoder(io.BytesIO(b"\xfe" + b"\xff" * 100_000))  # 0111...: the middle
    with pytest.raises(BitstreamError, match="open"):
        pull_all(decoder, repeat(cdf, 10_000), [])


def test_every_truncation_is_one() -> None:
    symbols, cdfs = make(3, 30, 1024, 2.0, "mixed")
    data = our_bytes(symbols, cdfs)
    for end in range(len(data)):
        decoder = ArithmeticDecoder(io.BytesIO(data[:end]))
        got: list[int] = []
        with pytest.raises(TruncatedBitstreamError):
            pull_all(decoder, cdfs, got)
        assert got == symbols[: len(got)].tolist()
        with pytest.raises(TruncatedBitstreamError):
            decoder.pull(cdfs[-1])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=60), st.sampled_from([0.0, 2.0, 100.0]), st.sampled_from([2, 50, 1024]))
def test_noise_is_read_as_the_reference_reads_it(
    data: bytes, sharpness: float, symbols: int
) -> None:
    """Until an error: the reference has no symbol for it, or has come to the end."""
    _, cdfs = make(4, 60, symbols, sharpness, "drawn")
    cdfs[::7] -= 1  # leaves gaps: not all of the range is given out
    decoder = ArithmeticDecoder(io.BytesIO(data))
    reference = ac.ArithmeticDecoder(io.BytesIO(data))
    for cdf in cdfs:
        try:
            symbol: int | None = decoder.pull(cdf)
        except TruncatedBitstreamError:
            assert reference.pull(torch.from_numpy(cdf)) is None
            break
        except BitstreamError:
            with pytest.raises(RuntimeError, match="search failed"):
                reference.pull(torch.from_numpy(cdf))
            break
        assert symbol == reference.pull(torch.from_numpy(cdf))


@pytest.mark.parametrize(
    "cdf", [[0, 0, 0], [-5, 3, 2**23], [2**24, 7, 3], [2**40] * 3, [5, 5, 5], [-(2**62), 2**62, 1]]
)
def test_a_table_that_is_no_cdf_ends_in_a_typed_error(cdf: list[int]) -> None:
    table = np.array(cdf)
    for seed in range(20):
        decoder = ArithmeticDecoder(io.BytesIO(np.random.default_rng(seed).bytes(50)))
        with pytest.raises(BitstreamError):
            pull_all(decoder, repeat(table, 1000), [])


def test_what_cannot_be_coded() -> None:
    coder = ArithmeticCoder()
    cdf = np.array([10, 10, 2**24, 2**24 + 2])
    for symbol in (-1, 4):
        with pytest.raises(ValueError, match="not in 0"):
            coder.push(symbol, cdf)
        with pytest.raises(ValueError, match="not in 0"):
            coder.push_many(np.array([symbol]), cdf[None])
    for symbol in (1, 3):  # an empty part of the range; one past its end
        with pytest.raises(ValueError, match="no range"):
            coder.push(symbol, cdf)
    with pytest.raises(ValueError, match="shapes"):
        coder.push_many(np.array([0, 1]), cdf[None])
    for kind in (ArithmeticCoder, lambda bits: ArithmeticDecoder(io.BytesIO(), bits)):
        with pytest.raises(ValueError, match=r"1\.\.26"):
            kind(27)


@settings(deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**31),
    symbols=st.sampled_from([1, 2, 3, 17, 1024, 4000]),
    sharpness=st.sampled_from([0.0, 0.3, 1.0, 10.0, 100.0, 1e4]),
    bits=st.sampled_from([14, 20, 24, 30]),
    roundoff=st.sampled_from([0.0, 1e-8, 1e-5]),
    min_range=st.sampled_from([2, 3]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_cdfs_are_the_references(
    seed: int,
    symbols: int,
    sharpness: float,
    bits: int,
    roundoff: float,
    min_range: int,
    dtype: torch.dtype,
) -> None:
    noise = torch.randn(2, 3, symbols, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    pdf = torch.softmax(sharpness * noise, dim=-1)
    ours = build_stable_quantized_cdf(pdf, bits, roundoff, min_range, check=False)
    assert ours.dtype == torch.int64
    assert ours.shape == pdf.shape
    for batch in range(2):
        for row in range(3):
            theirs = ac.build_stable_quantized_cdf(
                pdf[batch, row], bits, roundoff, min_range, check=False
            )
            assert torch.equal(ours[batch, row], theirs)
            single = build_stable_quantized_cdf(pdf[batch, row], bits, roundoff, min_range, False)
            assert torch.equal(single, theirs)


def test_cdfs_as_the_language_model_gives_them() -> None:
    probabilities = torch.softmax(torch.randn(1, 1024, 32, 1), dim=1)  # [B, card, K, T]
    ours = build_stable_quantized_cdf(probabilities[0, :, :, 0].T, 24)  # [K, card]
    for k in range(32):
        assert torch.equal(ours[k], ac.build_stable_quantized_cdf(probabilities[0, :, k, 0], 24))


def test_cdfs_of_one_certain_symbol_and_uniform() -> None:
    for pdf in (torch.eye(1024)[[0, 511, 1023]], torch.full((3, 1024), 1 / 1024)):
        cdf = build_stable_quantized_cdf(pdf, 24)
        assert all(
            torch.equal(cdf[row], ac.build_stable_quantized_cdf(pdf[row], 24)) for row in range(3)
        )
        assert (cdf.diff() >= 2).all()
        assert (cdf[:, -1] <= 2**24).all()


@pytest.mark.parametrize(
    "pdf",
    [
        torch.full((4,), 0.5),
        torch.tensor([1.5, -0.5]),
        torch.tensor([0.5, float("nan")]),
        torch.tensor([[0.5, 0.5], [0.75, 0.75]]),
    ],
)
def test_a_cdf_of_what_is_no_distribution(pdf: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="not probabilities"):
        build_stable_quantized_cdf(pdf, 24)


def test_a_cdf_in_a_range_too_small() -> None:
    assert build_stable_quantized_cdf(torch.full((8,), 1 / 8), 4)[-1] == 16
    for pdf in (torch.full((9,), 1 / 9), torch.empty(0)):
        with pytest.raises(ValueError, match="range"):
            build_stable_quantized_cdf(pdf, 4)
    with pytest.raises(ValueError, match="min_range"):
        build_stable_quantized_cdf(torch.full((8,), 1 / 8), 24, min_range=1)
