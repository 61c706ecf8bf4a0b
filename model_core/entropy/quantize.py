"""The rule that turns a language model's float weights into integers.

It looks at the weights alone, and uses single operations in float64, each rounded as IEEE 754 says
(`math.fsum` rounds a whole sum once): so it gives the same integers everywhere. `docs/exact-lm.md`
describes it.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..config import DEPTH_WIDTH, LMConfig
from ..engine import StateDict
from ..errors import WeightsError
from .fixed import (
    EXPONENT_LIMIT,
    GAIN_BITS,
    MAX_WIDTH,
    NORMAL_BITS,
    OCTAVE,
    RESIDUAL_LIMIT,
    activation_limit,
    score_limit,
)
from .integer_lm import HEADS, DepthHead, IntegerLM, Layer, Norm, Product

_EPSILON = 1e-5  # of the norms
_LOG2_E = 1.4426950408889634
_HEADROOM = 4  # times the normalised part: what a residual sum may grow to


def quantize(state: StateDict, config: LMConfig) -> IntegerLM:
    """The integers of a language model with these float32 tensors, under reference names.

    Raises `WeightsError` for one that is too wide, or whose values are out of reach.
    """
    if config.dim > MAX_WIDTH:
        raise WeightsError(f"an exact language model is at most {MAX_WIDTH} wide")
    tensors = {name: np.asarray(x, np.float64) for name, x in state.items()}
    if not all(np.isfinite(x).all() for x in tensors.values()):
        raise WeightsError("the language model has weights that are not finite")
    return _Quantizer(tensors, config).model()


@dataclass(frozen=True)
class _Input:
    """What a product takes: `gain * n + bias` of a normalised n (mean 0, variance 1), to which
    positions may be added."""

    bits: int
    """Fractional bits of the activations."""
    gain: np.ndarray
    bias: np.ndarray
    folded: bool
    """The activations are n alone: gain and bias go into the product's weights."""
    positions: float = 0.0
    """The norm of the positions."""


class _Quantizer:
    def __init__(self, tensors: dict[str, np.ndarray], config: LMConfig):
        self._tensors = tensors
        self._config = config
        self._dim = config.dim

    def model(self) -> IntegerLM:
        config, get = self._config, self._tensors
        books = range(config.num_codebooks)
        embedding = np.stack([get[f"emb.{k}.weight"] for k in books])
        embedding_bits = _bits_for(RESIDUAL_LIMIT, _greatest_sum(embedding, RESIDUAL_LIMIT))
        position_bits = self._sum_bits("transformer.norm_in", positions=1.0)
        bound = self._bound("transformer.norm_in") + 1.0
        bits = min(position_bits, _bits_for(activation_limit(self._dim), bound))
        norm_in = self._norm("transformer.norm_in", embedding_bits, position_bits)
        entering = self._input("transformer.norm_in", bits, folded=False)
        names = [f"transformer.layers.{index}" for index in range(config.num_layers)]
        sum_bits = [position_bits, *(self._sum_bits(f"{name}.norm2") for name in names)]
        layers = []
        for name, before, after in zip(names, sum_bits, sum_bits[1:], strict=False):
            layers.append(self._layer(name, entering, before, after))
            entering = self._input(f"{name}.norm2", NORMAL_BITS, folded=True)
        depth = self._depth(entering, sum_bits[-1]) if config.depth else None
        if depth:  # the heads take a sum that is normalised once more, without gain and bias
            entering = _plain(NORMAL_BITS, self._dim)
        heads = tuple(
            self._product(f"linears.{k}", entering, OCTAVE * _LOG2_E, EXPONENT_LIMIT) for k in books
        )
        return IntegerLM(
            config,
            _rounded(embedding, embedding_bits).astype(np.int32),
            norm_in,
            position_bits,
            position_bits - bits,
            tuple(layers),
            depth,
            heads,
        )

    def _layer(self, name: str, entering: _Input, before: int, after: int) -> Layer:
        """`before` and `after`: fractional bits of the sums that it takes and gives."""
        dim = self._dim
        head = dim // HEADS
        limits = score_limit(head), score_limit(head), activation_limit(dim)
        weights = self._tensors[f"{name}.self_attn.in_proj_weight"].reshape(3, dim, dim)
        biases = self._tensors[f"{name}.self_attn.in_proj_bias"].reshape(3, dim)
        parts = list(zip(weights, biases, limits, strict=True))
        bits = [_bits_for(limit, _row_bound(w, b, entering)) for w, b, limit in parts]
        query, key, value = (
            _product(w, b, entering, 2.0**some, limit)
            for (w, b, limit), some in zip(parts, bits, strict=True)
        )
        score = math.ldexp(OCTAVE * _LOG2_E / math.sqrt(head), -bits[0] - bits[1])
        score_shift = _shift_for(score)
        middle = self._input(f"{name}.norm1", NORMAL_BITS, folded=True)
        middle_bits = self._sum_bits(f"{name}.norm1")
        hidden_limit = activation_limit(4 * dim)
        hidden_bound = _row_bound(*self._linear(f"{name}.linear1"), middle)
        hidden_bits = _bits_for(hidden_limit, hidden_bound, most=14)
        out = f"{name}.self_attn.out_proj"
        return Layer(
            query,
            key,
            value,
            _rounded(biases[1], bits[1]).clip(-limits[1], limits[1]),
            _rounded(biases[2], bits[2]).clip(-limits[2], limits[2]),
            round(math.ldexp(score, score_shift)),
            score_shift,
            self._product(out, _plain(bits[2], dim), 2.0**before, RESIDUAL_LIMIT),
            self._norm(f"{name}.norm1", before, middle_bits),
            self._product(f"{name}.linear1", middle, 2.0**hidden_bits, hidden_limit),
            hidden_bits,
            self._product(
                f"{name}.linear2", _plain(hidden_bits, 4 * dim), 2.0**middle_bits, RESIDUAL_LIMIT
            ),
            self._norm(f"{name}.norm2", middle_bits, after),
        )

    def _depth(self, entering: _Input, sum_bits: int) -> DepthHead:
        """`sum_bits`: fractional bits of the last residual sums."""
        books = self._config.num_codebooks
        embedding = np.stack([self._tensors[f"depth_emb.{k}.weight"] for k in range(books - 1)])
        limit = activation_limit(DEPTH_WIDTH)
        greatest = _greatest_sum(embedding, limit)
        bits = _bits_for(limit, greatest + _row_bound(*self._linear("depth_in"), entering))
        return DepthHead(
            self._product("depth_in", entering, 2.0**bits, limit),
            _rounded(embedding, bits).astype(np.int32),
            self._product("depth_out", _plain(bits, DEPTH_WIDTH), 2.0**sum_bits, RESIDUAL_LIMIT),
            _epsilon(self._dim, sum_bits),
        )

    def _linear(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        return self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"]

    def _product(self, name: str, entering: _Input, scale: float, limit: int) -> Product:
        return _product(*self._linear(name), entering, scale, limit)

    def _input(self, norm: str, bits: int, *, folded: bool) -> _Input:
        positions = 0.0 if folded else math.sqrt(self._dim / 2)
        return _Input(bits, *self._linear(norm), folded, positions)

    def _bound(self, norm: str) -> float:
        """Of all that a norm gives."""
        gain, bias = self._linear(norm)
        return float((math.sqrt(self._dim) * np.abs(gain) + np.abs(bias)).max())

    def _sum_bits(self, norm: str, positions: float = 0.0) -> int:
        """Fractional bits of the sums that a norm's result goes into."""
        return _bits_for(RESIDUAL_LIMIT, _HEADROOM * (self._bound(norm) + positions))

    def _norm(self, name: str, bits: int, to_bits: int) -> Norm:
        """`bits` and `to_bits`: fractional bits of the sums that it takes, and goes into."""
        gain, bias = self._linear(name)
        return Norm(
            _epsilon(self._dim, bits),
            _rounded(gain * math.sqrt(self._dim), to_bits + GAIN_BITS - 24, 2.0**38),
            _rounded(bias, to_bits + GAIN_BITS) + (1 << (GAIN_BITS - 1)),
        )


def _plain(bits: int, width: int) -> _Input:
    return _Input(bits, np.ones(width), np.zeros(width), folded=True)


def _product(
    weight: np.ndarray, bias: np.ndarray, entering: _Input, scale: float, limit: int
) -> Product:
    """The result is multiplied by `scale`."""
    if entering.folded:
        bias = _sums(weight, entering.bias, bias)
        weight = weight * entering.gain
    greatest = np.abs(weight).max(axis=1)
    greatest = np.where(greatest == 0, 1.0, greatest)
    ratio = np.ldexp(greatest / 127.0 * scale, -entering.bits)
    shift = _shift_for(float(ratio.max()))
    offset = np.ldexp(bias * scale, shift)
    if np.abs(offset).max() >= 2.0**62:
        raise WeightsError("the language model has a bias of impossible size")
    return Product(
        np.rint(weight * 127.0 / greatest[:, None]).astype(np.int8),
        np.rint(np.ldexp(ratio, shift)).astype(np.int64),
        np.rint(offset).astype(np.int64) + (1 << shift >> 1),
        shift,
        limit,
    )


def _row_bound(weight: np.ndarray, bias: np.ndarray, x: _Input) -> float:
    """Of every |W x + b|, by Cauchy and Schwarz: the norm of n is the root of the width."""
    spread = _norms(weight * x.gain) * math.sqrt(len(x.gain)) + _norms(weight) * x.positions
    return float((spread + np.abs(_sums(weight, x.bias, bias))).max())


def _sums(weight: np.ndarray, x: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """`W x + b`, each rounded once: in any order the same."""
    if not x.any():
        return bias
    rows = zip((weight * x).tolist(), bias.tolist(), strict=True)
    return np.array([math.fsum([*row, b]) for row, b in rows])


def _norms(rows: np.ndarray) -> np.ndarray:
    return np.sqrt(np.array([math.fsum(row) for row in np.square(rows).tolist()]))


def _bits_for(limit: int, bound: float, most: int = 24) -> int:
    """The most fractional bits with which values up to `bound` stay within `limit`."""
    return max(0, min(most, math.frexp(limit / max(bound, 1e-6))[1] - 1))


def _shift_for(ratio: float) -> int:
    """With which `ratio` becomes a multiplier of 23 bits."""
    shift = 23 - math.frexp(ratio)[1]
    if shift < 0:
        raise WeightsError(f"the language model has weights of impossible size: {ratio:g}")
    return min(shift, 40)


def _epsilon(dim: int, bits: int) -> int:
    return max(1, round(math.ldexp(_EPSILON * dim**3, 2 * bits)))


def _greatest_sum(tables: np.ndarray, limit: int) -> float:
    """Of one entry of each table. Raises `WeightsError` beyond `limit`."""
    greatest = sum(float(np.abs(table).max()) for table in tables)
    if greatest > limit:
        raise WeightsError(f"the language model has embeddings of impossible size: {greatest:g}")
    return greatest


def _rounded(x: np.ndarray, bits: int, limit: float = 2.0**61) -> np.ndarray:
    """As int64. Raises `WeightsError` beyond `limit`; sums and products with more overflow."""
    y = np.rint(np.ldexp(x, bits))
    if np.abs(y).max() > limit:
        raise WeightsError(f"the language model has values of impossible size: {np.abs(x).max():g}")
    return y.astype(np.int64)
