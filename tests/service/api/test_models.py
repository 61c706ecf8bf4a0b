"""`GET /models`: what it says of the models that the service keeps warm."""

import httpx
import pytest

from model_core.codec import Codec
from service.api.models import ModelInfo, ModelList
from service.settings import Settings
from tests.service.in_process import app_with_calls, get
from tests.service.live import Live


def served(server: Live, client: httpx.Client, number: int) -> tuple[ModelInfo, Codec]:
    """The description of a model, and its codec."""
    listed = ModelList.model_validate_json(client.get("/models").content)
    codec = server.app.state.models.served()[number].codec
    assert isinstance(codec, Codec)
    return listed.models[number], codec


def test_warm_models_are_described(server: Live, client: httpx.Client) -> None:
    mono, codec = served(server, client, 0)
    assert (mono.name, mono.state, mono.ready) == ("encodec_24khz", "ready", True)
    assert (mono.sample_rate, mono.channels, mono.frame_rate) == (24_000, 1, 75)
    assert [b.codebooks for b in mono.bandwidths] == [2, 4, 8, 16, 32]
    assert mono.device == "cpu"
    assert mono.backend == codec.engine.name
    assert mono.max_batch == codec.engine.max_batch
    assert mono.captured is None  # there are no graphs on a CPU
    assert mono.weights is not None
    assert (mono.weights.name, mono.weights.source) == (codec.name, "folder")
    assert mono.weights.id == codec.name.partition(":")[2]
    assert not mono.weights.published
    assert mono.network is not None
    assert mono.network.n_filters == codec.config.n_filters
    assert mono.language_model is not None
    assert mono.language_model.name == codec.lm_name
    stereo, codec = served(server, client, 1)
    assert (stereo.name, stereo.ready) == ("encodec_48khz", True)
    assert (stereo.sample_rate, stereo.channels, stereo.frame_rate) == (48_000, 2, 150)
    assert [b.kbps for b in stereo.bandwidths] == [3, 6, 12, 24]
    assert stereo.language_model is None


@pytest.mark.anyio
async def test_models_that_are_not_loaded_yet_are_listed_as_starting() -> None:
    answer = await get(app_with_calls(), "/models")
    listed = ModelList.model_validate_json(answer.content)
    assert [model.name for model in listed.models] == list(Settings.model_construct().models)
    for model in listed.models:
        assert (model.state, model.ready) == ("starting", False)
        assert (model.backend, model.weights, model.network) == (None, None, None)
