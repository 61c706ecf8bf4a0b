"""`compress` and `decompress`: what they take, and what they do not do twice."""

import io
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model_core.checkpoints import LMSet, registry
from model_core.checkpoints.save import save_lm, save_weights
from model_core.compress import compress, decompress
from model_core.config import ENCODEC_24KHZ
from model_core.ecdc import Header
from model_core.errors import (
    InvalidAudioError,
    UnknownModelError,
    WeightsError,
    WeightsUnavailableError,
)
from model_core.model import EncodecModel, load_model
from model_core.nn.lm import LMModel


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Narrow weights and their language model."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(1)
    model = EncodecModel(ENCODEC_24KHZ.with_filters(2))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("weight_g"):
                parameter.mul_(3)  # else hardly anything of the signal is left in the latents
        latents = model.encoder(0.1 * torch.randn(1, 1, 480_000))[0].t()
        for codebook in model.quantizer.codebooks:
            codebook.codebook.embed.copy_(latents[:1024])
    path = save_weights(model, folder)
    lm = LMModel(32, 1024, dim=8, num_layers=1, past_context=262)
    save_lm(lm, f"{ENCODEC_24KHZ.name}:{path.stem[-8:]}", folder)
    return folder


@pytest.fixture
def model(folder: Path) -> EncodecModel:
    model = EncodecModel.encodec_model_24khz(repository=folder)
    model.set_target_bandwidth(1.5)
    return model


@pytest.fixture
def wav() -> Tensor:
    torch.manual_seed(2)
    return 0.1 * torch.randn(1, 30_000)


def test_any_memory_layout_and_float_type(model: EncodecModel, wav: Tensor) -> None:
    expected = compress(model, wav)
    assert compress(model, wav.flip(-1)) != expected
    assert compress(model, wav.double()) == expected
    assert compress(model, wav.repeat(2, 1)[::2]) == expected
    assert compress(model, wav.flip(-1).contiguous().flip(-1)) == expected
    assert compress(model, torch.stack([wav[0], wav[0]], dim=-1)[:, 0][None]) == expected
    assert compress(model, wav.clone().requires_grad_()) == expected
    rounded = wav.bfloat16()
    assert compress(model, rounded) == compress(model, rounded.float())


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(1, 500, dtype=torch.int16),
        torch.zeros(1, 500, dtype=torch.complex64),
        torch.full((1, 500), torch.nan),
        torch.full((1, 500), torch.inf),
        torch.full((1, 500), torch.inf, dtype=torch.float16),
        torch.full((1, 500), -torch.inf, dtype=torch.float16),
        torch.zeros(1, 0),
        torch.zeros(2, 500),
        torch.zeros(1, 1, 500),
        torch.zeros(500),
    ],
)
def test_what_is_no_waveform(model: EncodecModel, wrong: Tensor) -> None:
    with pytest.raises(InvalidAudioError):
        compress(model, wrong)


@pytest.mark.filterwarnings("error")
def test_half_precision_is_taken(model: EncodecModel, wav: Tensor) -> None:
    assert compress(model, wav.half()) == compress(model, wav.half().float())


def test_other_types_are_named(model: EncodecModel, wav: Tensor) -> None:
    with pytest.raises(TypeError, match="ndarray"):
        compress(model, wav.numpy())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="None"):
        decompress(None)  # type: ignore[arg-type]


def test_effort_changes_the_codes(model: EncodecModel, wav: Tensor) -> None:
    files = [compress(model, wav, effort=effort) for effort in range(4)]
    assert files[0] == compress(model, wav)
    assert files[1] != files[0]
    assert len({len(file) for file in files}) == 1
    assert decompress(files[3])[0].shape == wav.shape
    with pytest.raises(ValueError, match="effort"):
        compress(model, wav, effort=4)


def test_format_1_comes_back(model: EncodecModel, wav: Tensor) -> None:
    file = compress(model, wav, format=1)
    assert file[:5] == b"ECDC\x01"
    decoded, rate = decompress(file)
    assert rate == model.sample_rate
    assert torch.equal(decoded, decompress(compress(model, wav))[0])
    with pytest.raises(ValueError, match="format"):
        compress(model, wav, format=2)


def test_a_model_without_a_name(wav: Tensor) -> None:
    with pytest.raises(UnknownModelError):
        compress(EncodecModel(ENCODEC_24KHZ.with_filters(2)), wav)


def test_a_model_nobody_knows() -> None:
    with pytest.raises(UnknownModelError):
        decompress(Header("encodec_96khz", 640, 2, lm=False).to_bytes() + bytes(10))


def test_what_a_model_from_a_folder_codes_comes_back(
    tmp_path: Path, wav: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENCODEC_WEIGHTS", "bundled")
    made = save_weights(EncodecModel(ENCODEC_24KHZ.with_filters(2)), tmp_path)
    lm = LMModel(32, 1024, dim=8, num_layers=1, past_context=262)
    save_lm(lm, f"{ENCODEC_24KHZ.name}:{made.stem[-8:]}", tmp_path)
    model = EncodecModel.encodec_model_24khz(repository=tmp_path)
    model.set_target_bandwidth(1.5)
    plain, rate = decompress(compress(model, wav))
    assert (plain.shape, rate) == (wav.shape, 24_000)
    assert torch.equal(decompress(compress(model, wav, use_lm=True))[0], plain)


def test_changed_weights_make_no_file_under_the_old_name(
    model: EncodecModel, wav: Tensor, tmp_path: Path
) -> None:
    compress(model, wav)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for name in state:
        if name.startswith("decoder.") and name.endswith("weight_v"):
            state[name] += 0.1 * torch.randn_like(state[name])
    model.load_state_dict(state)
    with pytest.raises(WeightsError, match="save them"):
        compress(model, wav)

    save_weights(model, tmp_path, torch.float32)
    saved = EncodecModel.encodec_model_24khz(repository=tmp_path)
    saved.set_target_bandwidth(1.5)
    out, _ = decompress(compress(saved, wav))
    with torch.no_grad():
        expected = model(wav[None])[0]
    assert (out - expected).abs().max() <= 1e-3 * expected.abs().max()


def test_files_are_read_for_their_ids_once(
    model: EncodecModel, wav: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    init = registry.Registry.__init__

    def counting(self: registry.Registry, *args: object, **kwargs: object) -> None:
        opened.append(args)
        init(self, *args, **kwargs)  # type: ignore[arg-type]

    first = compress(model, wav[:, :3_000], use_lm=True)
    monkeypatch.setattr(registry.Registry, "__init__", counting)
    assert compress(model, wav[:, :3_000], use_lm=True, verify=True) == first
    assert opened == []


def test_a_changed_environment_is_seen(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENCODEC_WEIGHTS", str(folder))
    assert load_model("encodec_24khz").config.n_filters == 2
    monkeypatch.setenv("ENCODEC_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsUnavailableError):
        load_model("encodec_24khz")


def test_decompress_needs_no_language_model_for_a_file_without(
    model: EncodecModel, wav: Tensor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = compress(model, wav)
    monkeypatch.setenv("ENCODEC_WEIGHTS", str(folder))

    def unavailable(*_: object) -> LMSet:
        raise WeightsUnavailableError("cannot be downloaded")

    monkeypatch.setattr(registry.Registry, "fetch_lm", unavailable)
    out, rate = decompress(data)
    assert (out.shape, rate) == (wav.shape, 24_000)


def test_a_file_with_language_model_comes_back(
    model: EncodecModel, wav: Tensor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENCODEC_WEIGHTS", str(folder))
    plain, _ = decompress(compress(model, wav[:, :5_000]))
    coded, _ = decompress(compress(model, wav[:, :5_000], use_lm=True))
    assert torch.equal(plain, coded)


def test_reading_stops_at_the_end_of_the_file_in_a_pipe(
    model: EncodecModel, wav: Tensor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two files in one stream, read a few bytes at a time."""

    class Pipe(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(7, size) if size and size > 0 else size)

    monkeypatch.setenv("ENCODEC_WEIGHTS", str(folder))
    from model_core.compress import decompress_from_file

    short = wav[:, :4_000]
    pipe = Pipe(compress(model, wav) + compress(model, short, use_lm=True))
    first, _ = decompress_from_file(pipe)
    second, _ = decompress_from_file(pipe)
    assert (first.shape, second.shape) == (wav.shape, short.shape)
    assert pipe.read(1) == b""
