"""The ids of weights: what they depend on, and that they stay what they are."""

import encodec
import numpy as np

from model_core.checkpoints.load import state_of
from model_core.checkpoints.names import weights_id


def test_statistics_do_not_count(reference24: encodec.EncodecModel) -> None:
    state = state_of(reference24)
    before = weights_id(state)
    state["quantizer.vq.layers.0._codebook.embed_avg"] = np.zeros((1024, 128))
    del state["quantizer.vq.layers.1._codebook.cluster_size"]
    assert weights_id(dict(reversed(state.items()))) == before
    assert weights_id({k: v.astype(np.float64) for k, v in state.items()}) == before
    entries = state["quantizer.vq.layers.0._codebook.embed"]
    state["quantizer.vq.layers.0._codebook.embed"] = np.nextafter(entries, np.float32(9))
    assert weights_id(state) != before


def test_id_is_pinned() -> None:
    """Files in the world carry ids: how they are made must not change."""
    state = {"b": np.arange(6.0).reshape(2, 3), "a.weight": np.array([-1.5])}
    assert weights_id(state) == "602b1fdd"
    assert weights_id({"b": state["b"].reshape(3, 2), "a.weight": state["a.weight"]}) != "602b1fdd"
