"""Whether a model's name still says which weights it has."""

import copy
from pathlib import Path

import pytest
import torch

from model_core.checkpoints.load import check_unchanged
from model_core.checkpoints.save import save_weights
from model_core.config import ENCODEC_24KHZ
from model_core.errors import WeightsError
from model_core.model import EncodecModel, load_model

NAME = ENCODEC_24KHZ.name


@pytest.fixture
def own(tmp_path: Path) -> EncodecModel:
    """Named by their id; float32, so that half precision rounds them."""
    torch.manual_seed(4)
    save_weights(EncodecModel(ENCODEC_24KHZ.with_filters(2)), tmp_path, torch.float32)
    model = load_model(NAME, str(tmp_path))
    assert model.name != NAME
    return model


@pytest.fixture
def published(th24: Path, as_published: None, monkeypatch: pytest.MonkeyPatch) -> EncodecModel:
    """Under a name without an id."""
    monkeypatch.setenv("ENCODEC_CACHE_DIR", str(th24.parent))
    model = load_model(NAME, "official")
    assert model.name == NAME
    return model


@pytest.mark.parametrize("kind", ["own", "published"])
def test_other_weights_under_the_old_name(kind: str, request: pytest.FixtureRequest) -> None:
    model: EncodecModel = request.getfixturevalue(kind)
    check_unchanged(model)
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        check_unchanged(copy.deepcopy(model).to(dtype))
    state = model.state_dict()
    state["decoder.model.0.conv.conv.bias"] = state["decoder.model.0.conv.conv.bias"] + 0.1
    model.load_state_dict(state)
    for dtype in (torch.float32, torch.float64, torch.float16):
        with pytest.raises(WeightsError, match=f"no longer those of {model.name}, .* save them"):
            check_unchanged(copy.deepcopy(model).to(dtype))


def test_training_statistics_are_no_change(own: EncodecModel) -> None:
    own.quantizer.codebooks[0].codebook.cluster_size.add_(1)
    check_unchanged(own)


def test_a_plain_name_given_by_hand_is_not_doubted() -> None:
    check_unchanged(EncodecModel(ENCODEC_24KHZ.with_filters(2), NAME))


def test_an_id_given_by_hand_is() -> None:
    with pytest.raises(WeightsError, match="1a2b3c4d"):
        check_unchanged(EncodecModel(ENCODEC_24KHZ.with_filters(2), f"{NAME}:1a2b3c4d"))
