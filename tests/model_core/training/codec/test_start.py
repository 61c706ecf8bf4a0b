"""A run that starts from finished weights goes on from them, codebooks and all."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from model_core.checkpoints.files import weights_id
from model_core.checkpoints.load import state_of
from model_core.checkpoints.save import save_reference, save_weights
from model_core.config import ENCODEC_24KHZ
from model_core.errors import WeightsError
from model_core.model import EncodecModel, load_model
from model_core.training.codec.codebooks import CodebookLearning
from model_core.training.codec.start import from_weights
from tests.peers import signal
from tests.service.narrow import write_narrow_models

pytestmark = pytest.mark.usefixtures("one_thread")
NAME = ENCODEC_24KHZ.name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("narrow")
    write_narrow_models(made)
    return made


@pytest.mark.parametrize("form", ["folder", "file"])
def test_the_weights_are_there(form: str, folder: Path) -> None:
    (file,) = folder.glob(f"{NAME}-*.safetensors")
    model = EncodecModel(ENCODEC_24KHZ.with_filters(2))
    from_weights(model, str(folder if form == "folder" else file))
    assert weights_id(state_of(model)) == file.stem[-8:]
    assert model.training


def test_one_step_hardly_moves_the_codebooks(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trained = EncodecModel(ENCODEC_24KHZ.with_filters(2)).train()
    clips = torch.stack([signal(1, 24_000, 24_000, seed=s) for s in range(24)])
    step(trained, clips)
    save_weights(trained, tmp_path, torch.float32)

    model = EncodecModel(trained.config).train()
    from_weights(model, str(tmp_path))
    moved = step(model, clips)
    assert 0 < moved.mean() < 0.01
    assert moved.max() < 0.1

    unprepared = load_model(NAME, str(tmp_path)).train()
    assert step(unprepared, clips).mean() > 0.3, "files carry no statistics: books would be lost"


@torch.no_grad()
def step(model: EncodecModel, clips: Tensor) -> Tensor:
    """How far one training step moves the entries of the first two codebooks, by their mean
    length."""
    books = [layer.codebook for layer in model.quantizer.codebooks[:2]]
    before = torch.stack([book.embed.clone() for book in books])
    CodebookLearning(model.quantizer)(model.encoder(clips), 2)
    after = torch.stack([book.embed for book in books])
    return (after - before).norm(dim=-1) / before.norm(dim=-1).mean(dim=1, keepdim=True)


def test_statistics_that_are_there_are_kept(folder: Path, tmp_path: Path) -> None:
    trained = EncodecModel(ENCODEC_24KHZ.with_filters(2))
    from_weights(trained, str(folder))
    trained.quantizer.codebooks[3].codebook.cluster_size.fill_(3.5)
    path = save_reference(trained, NAME, "model", tmp_path)
    model = EncodecModel(ENCODEC_24KHZ.with_filters(2))
    from_weights(model, str(path))
    assert (model.quantizer.codebooks[3].codebook.cluster_size == 3.5).all()


def test_another_network(folder: Path) -> None:
    with pytest.raises(WeightsError, match="n_filters 2, not 3"):
        from_weights(EncodecModel(ENCODEC_24KHZ.with_filters(3)), str(folder))


def test_bundled() -> None:
    bundled = load_model(NAME, "bundled")
    model = EncodecModel(bundled.config)
    from_weights(model, "bundled")
    assert weights_id(state_of(model)) == bundled.name[-8:]


@torch.no_grad()
def test_a_narrower_network_grows(folder: Path) -> None:
    narrow = EncodecModel(ENCODEC_24KHZ.with_filters(2))
    wide = EncodecModel(ENCODEC_24KHZ.with_filters(8))
    from_weights(narrow, str(folder))
    from_weights(wide, str(folder))
    x = signal(1, 9600, 24_000)[None]
    torch.testing.assert_close(wide.encoder(x), narrow.encoder(x), rtol=1e-3, atol=1e-5)
    assert all(layer.codebook.cluster_size.all() for layer in wide.quantizer.codebooks)
