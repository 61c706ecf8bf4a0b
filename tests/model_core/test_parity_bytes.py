"""`.ecdc` bytes: the reference's for the same codes, and files that cross both ways.

The seeded weights lie in a folder as reference checkpoints, so that headers call them
`NAME:<id>` (with a language model `NAME:<id>+<id>`); the reference is taught those names.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from encodec import EncodecModel as ReferenceModel
from encodec.compress import MODELS
from encodec.compress import compress as reference_compress
from encodec.compress import decompress as reference_decompress
from torch import Tensor

from model_core import EncodecModel, compress_to_file, decompress
from model_core.checkpoints import Registry
from model_core.checkpoints.load import load_network
from model_core.codec import Encoder, run_now
from model_core.codec.codec_cache import codec_of
from model_core.ecdc import Header, read_header
from tests.peers import NAMES, Frames, LMPair, Pair, Peers, entries_used, signal

pytestmark = pytest.mark.usefixtures("one_thread", "no_grad")
SAMPLES = {"encodec_24khz": 24_001, "encodec_48khz": 50_000}  # a second; two segments
LM_FACTOR = 0.5  # entropy coding is slow


@dataclass(frozen=True)
class Setup:
    """Both implementations, with the weights where ours looks for them."""

    pair: Pair
    lms: LMPair
    ours: EncodecModel
    names: dict[bool, str]  # what headers say, without and with a language model

    def wav(self, lm: bool) -> Tensor:
        samples = int(SAMPLES[self.pair.name] * (LM_FACTOR if lm else 1))
        return signal(self.ours.channels, samples, self.ours.sample_rate)

    def reference(self, lm: bool, bandwidth: float) -> ReferenceModel:
        """The reference model under the name a header gives it."""
        self.pair.reference.set_target_bandwidth(bandwidth)
        self.pair.reference.name = self.names[lm]
        return self.pair.reference


def save_checkpoint(state: dict[str, Tensor], folder: Path, stem: str) -> None:
    """`STEM-<beginning of its sha256>.th`, as the published files are called."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    digest = sha256(buffer.getvalue()).hexdigest()[:8]
    (folder / f"{stem}-{digest}.th").write_bytes(buffer.getvalue())


@pytest.fixture(scope="module", params=NAMES)
def setup(
    request: pytest.FixtureRequest, peers: Peers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Setup]:
    name = request.param
    pair, lms = peers.pair(name), peers.lm_pair(name)
    folder = tmp_path_factory.mktemp("weights")
    save_checkpoint(pair.reference.state_dict(), folder, name)
    save_checkpoint(lms.reference.state_dict(), folder, name.replace("encodec_", "encodec_lm_"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENCODEC_WEIGHTS", str(folder))
        registry = Registry()
        found = registry.find(name)
        ours = load_network(found, EncodecModel)
        names = {False: found.header_name, True: str(found.lm_header_name)}
        assert len({name, *names.values()}) == 3
        patch.setattr(pair.reference, "name", name)
        patch.setattr(pair.reference, "get_lm_model", lambda: lms.reference, raising=False)
        for header_name in names.values():
            patch.setitem(MODELS, header_name, lambda: pair.reference)
        yield Setup(pair, lms, ours, names)


def compress(model: EncodecModel, wav: Tensor, use_lm: bool = False) -> bytes:
    fo = io.BytesIO()
    compress_to_file(model, wav, fo, use_lm=use_lm)
    return fo.getvalue()


def bandwidths(lm: bool) -> list[float]:
    return [3.0] if lm else [3.0, 6.0, 24.0]


def coded_by_ours(model: EncodecModel, wav: Tensor, bandwidth: float) -> Frames:
    """The frames that `compress` writes, as the reference's `encode` returns them."""
    encoder = Encoder(codec_of(model), model.config.codebooks_for(bandwidth))
    samples = wav.numpy()
    blocks = run_now(encoder.push(samples)) + run_now(encoder.finish())
    codes = [torch.from_numpy(block.codes)[None] for block in blocks]
    if model.segment is None:
        return [(torch.cat(codes, dim=2), None)]
    return [(c, torch.tensor([[b.scale]])) for c, b in zip(codes, blocks, strict=True)]


@pytest.mark.parametrize("lm", [False, True], ids=["plain", "lm"])
def test_same_bytes_for_the_same_codes(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, lm: bool
) -> None:
    wav = setup.wav(lm)
    for bandwidth in bandwidths(lm):
        setup.ours.set_target_bandwidth(bandwidth)
        ours = compress(setup.ours, wav, use_lm=lm)
        header = read_header(io.BytesIO(ours))
        assert header == Header(
            setup.names[lm], wav.shape[1], setup.ours.config.codebooks_for(bandwidth), lm
        )
        frames = coded_by_ours(setup.ours, wav, bandwidth)
        assert min(entries_used(frames)) > 20
        reference = setup.reference(lm, bandwidth)
        monkeypatch.setattr(reference, "encode", lambda _wav, frames=frames: frames)
        assert reference_compress(reference, wav, use_lm=lm) == ours


@pytest.mark.parametrize("lm", [False, True], ids=["plain", "lm"])
def test_files_cross_both_ways(setup: Setup, lm: bool) -> None:
    wav = setup.wav(lm)
    bandwidth = bandwidths(lm)[0]
    theirs = reference_compress(setup.reference(lm, bandwidth), wav, use_lm=lm)
    expected, rate = reference_decompress(theirs)
    audio, our_rate = decompress(theirs)
    assert our_rate == rate
    assert audio.shape == expected.shape == wav.shape
    assert (audio - expected).abs().max() <= 1e-4 * expected.abs().max()

    setup.ours.set_target_bandwidth(bandwidth)
    ours = compress(setup.ours, wav, use_lm=lm)
    setup.reference(lm, bandwidth)
    crossed, _ = reference_decompress(ours)
    returned, _ = decompress(ours)
    assert crossed.shape == wav.shape
    assert (crossed - returned).abs().max() <= 1e-4 * crossed.abs().max()


def test_entropy_coding_loses_nothing(setup: Setup) -> None:
    wav = setup.wav(lm=True)[:, :8_000]
    setup.ours.set_target_bandwidth(3.0)
    plain = compress(setup.ours, wav)
    coded = compress(setup.ours, wav, use_lm=True)
    assert coded[-40:] != plain[-40:]
    assert torch.equal(decompress(coded)[0], decompress(plain)[0])
