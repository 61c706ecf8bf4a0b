"""Bits at a full batch: the result of a row must depend on its own stream alone.

Not on its position, the other rows, their bandwidths, how its stream is cut into rows, or the
process. What changes with another number of rows, and so other kernels, is only reported.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model_core.engine import (
    DecodeItem,
    EncodedBlock,
    EncodeItem,
    EngineOptions,
    StreamState,
)
from model_core.engine.cuda import CudaEngine

from ..clips import sound
from ..plan import DEFAULT_BANDWIDTH
from .check import MODELS, Check
from .report import Report

_OPTIONS = {
    "float32": EngineOptions(),
    "tf32": EngineOptions(precision="tf32", encode_precision="tf32"),
    "bfloat16": EngineOptions(precision="bfloat16"),
}


@dataclass(frozen=True)
class Case:
    """An engine and the contents of its rows: different pieces of audio, and their codes."""

    engine: CudaEngine
    pieces: list[np.ndarray]
    books: int

    @classmethod
    def of(cls, check: Check, name: str, precision: str, rows: int) -> "Case":
        options = _OPTIONS[precision]
        model = check.model(name)
        config = model.config
        made = EngineOptions(
            max_batch=rows, precision=options.precision, encode_precision=options.encode_precision
        )
        count = check.rows
        size = config.block_samples
        long = sound(config.channels, count * size, config.sample_rate, seed=11)
        pieces = [np.ascontiguousarray(long[:, n * size : (n + 1) * size]) for n in range(count)]
        books = config.codebooks_for(DEFAULT_BANDWIDTH)
        return cls(CudaEngine(model, check.device, made), pieces, books)

    def encode(self, order: Sequence[int], books: Sequence[int] | None = None) -> list[np.ndarray]:
        """Codes of these pieces as a batch, each a whole stream."""
        each = books or [self.books] * len(order)
        items = [EncodeItem(self.pieces[n], k, True) for n, k in zip(order, each, strict=True)]
        return [_codes(block) for block in self.engine.encode(items)]

    def decode(self, coded: Sequence[EncodedBlock]) -> list[np.ndarray]:
        """Samples of blocks as a batch, each a whole stream."""
        return self.engine.decode([DecodeItem(block, True) for block in coded])

    def blocks(self) -> list[EncodedBlock]:
        """The coded pieces."""
        return self.engine.encode([EncodeItem(piece, self.books, True) for piece in self.pieces])

    def stream(self, at_once: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Codes and samples of all pieces as one stream, `at_once` blocks per call."""
        state = StreamState()
        last = len(self.pieces) - 1
        items = [
            EncodeItem(piece, self.books, number == last, self._state(state))
            for number, piece in enumerate(self.pieces)
        ]
        blocks = [
            block
            for start in range(0, len(items), at_once)
            for block in self.engine.encode(items[start : start + at_once])
        ]
        state = StreamState()
        coded = [
            DecodeItem(block, number == last, self._state(state))
            for number, block in enumerate(blocks)
        ]
        audio = [
            samples
            for start in range(0, len(coded), at_once)
            for samples in self.engine.decode(coded[start : start + at_once])
        ]
        return [_codes(block) for block in blocks], audio

    def _state(self, state: StreamState) -> StreamState:
        return state if self.engine.config.causal else StreamState()


def _codes(block: EncodedBlock) -> np.ndarray:
    """Codes, and below them the bits of the scale, if there is one."""
    if block.scale is None:
        return block.codes
    bits = np.float32(block.scale).view(np.int32).astype(np.int64)
    return np.concatenate([block.codes, np.full((1, block.codes.shape[1]), bits)])


def run(check: Check, report: Report) -> None:
    for precision in _precisions(check):
        for name in MODELS:
            what = f"{name} {precision}"
            if report.in_time(what, 3):
                with report.part(what):
                    _case(check, report, name, precision)
    for name in MODELS[:1] if check.quick else MODELS:
        if report.in_time(f"{name} in another process", 8):
            with report.part(f"{name} in another process"):
                _other_process(check, report, name)
    for name in MODELS:
        if report.in_time(f"{name} with other rows", 3):
            with report.part(f"{name} with other rows"):
                _other_rows(check, report, name)


def _precisions(check: Check) -> list[str]:
    return ["bfloat16"] if check.quick else list(_OPTIONS)


def _case(check: Check, report: Report, name: str, precision: str) -> None:
    case = Case.of(check, name, precision, check.rows)
    order = list(range(check.rows))
    codes, blocks = case.encode(order), case.blocks()
    audio = case.decode(blocks)

    def say(what: str, same: list[bool]) -> None:
        figure = "bits equal" if all(same) else f"bits DIFFER in {same.count(False)} of {len(same)}"
        report.check(f"{name} {precision} {what}", all(same), figure)

    say("again", _same(case.encode(order), codes) + _same(case.decode(blocks), audio))
    shuffled = np.random.default_rng(3).permutation(order).tolist()
    for what, other in (("backwards", order[::-1]), ("shuffled", shuffled)):
        same = _same(case.encode(other), [codes[n] for n in other])
        heard = _same(case.decode([blocks[n] for n in other]), [audio[n] for n in other])
        say(what, same + heard)
    few = order[:: max(1, len(order) // 4)]
    alone = [case.encode([n])[0] for n in few]
    heard_alone = [case.decode([blocks[n]])[0] for n in few]
    say(
        "alone", _same(alone, [codes[n] for n in few]) + _same(heard_alone, [audio[n] for n in few])
    )
    most = case.engine.config.num_codebooks
    mixed = case.encode(order, [case.books if n % 2 else most for n in order])
    kept = slice(None, case.books)
    say("beside 24 kbps", _same([mixed[n][kept] for n in order if n % 2],
                                [codes[n][kept] for n in order if n % 2]))  # fmt: skip
    at_once, one_by_one = case.stream(check.rows), case.stream(1)
    say(
        "one stream's blocks as rows",
        _same(at_once[0], one_by_one[0]) + _same(at_once[1], one_by_one[1]),
    )
    say("and in other runs", [same for a, b in zip(case.stream(5), one_by_one, strict=True)
                              for same in _same(a, b)])  # fmt: skip


def _same(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> list[bool]:
    return [np.array_equal(a, b) for a, b in zip(one, other, strict=True)]


def _other_process(check: Check, report: Report, name: str) -> None:
    options = ["--quick"] if check.quick else []
    said = subprocess.run(
        [sys.executable, "-m", f"{__package__}.bits", name, check.name, *options],
        capture_output=True, text=True, timeout=min(60.0, max(1.0, report.left)),
    )  # fmt: skip
    if said.returncode:
        report.failed(f"{name} in another process", said.stderr.strip()[-200:], error=said.stderr)
        return
    theirs, ours = json.loads(said.stdout.splitlines()[-1]), digests(check, name)
    differing = [what for what in ours if theirs[what] != ours[what]]
    report.check(
        f"{name} in another process",
        not differing,
        f"bits DIFFER: {', '.join(differing)}" if differing else "bits equal",
    )


def digests(check: Check, name: str) -> dict[str, str]:
    """Hashes of a new engine's results for the pieces."""
    found = {}
    for precision in _precisions(check):
        case = Case.of(check, name, precision, check.rows)
        blocks = case.blocks()
        for what, arrays in (
            ("codes", [_codes(b) for b in blocks]),
            ("audio", case.decode(blocks)),
        ):
            together = hashlib.sha256(b"".join(x.tobytes() for x in arrays))
            found[f"{precision} {what}"] = together.hexdigest()[:16]
    return found


def _other_rows(check: Check, report: Report, name: str) -> None:
    """How much would differ if a restart chose another number of rows; nothing is promised."""
    usual = Case.of(check, name, "float32", check.rows)
    blocks = usual.blocks()
    audio = usual.decode(blocks)
    for rows in (1, 4) if check.quick else (1, 8, 128):
        other = Case.of(check, name, "float32", rows)
        theirs = other.blocks()
        codes = np.mean([(a.codes == b.codes).mean() for a, b in zip(blocks, theirs, strict=True)])
        heard = other.decode(blocks)
        peak = max(np.abs(x).max() for x in audio)
        apart = max(np.abs(a - b).max() for a, b in zip(audio, heard, strict=True)) / peak
        report.done(
            f"{name} with {rows} rows beside {check.rows}",
            f"{codes:.3%} of codes equal, audio within {apart:.0e} of the peak",
            codes=float(codes),
            apart=float(apart),
        )


if __name__ == "__main__":
    model, device, *rest = sys.argv[1:]
    print(json.dumps(digests(Check(device, "--quick" in rest), model)))
