"""Codecs of models that a caller holds as modules."""

import itertools
import threading
from weakref import WeakKeyDictionary

import torch

from ..checkpoints.load import check_unchanged, state_of, weights_of
from ..config import LMConfig
from ..ecdc import parse_model_name
from ..engine import EngineOptions
from ..engine.choose import lm_build
from ..entropy import ExactLM
from ..nn.lm import LMModel
from ..nn.network import EncodecNetwork
from .codec import Codec, LanguageModel


def codec_of(
    model: EncodecNetwork,
    lm: LMModel | None = None,
    lm_name: str | None = None,
    options: EngineOptions = EngineOptions(),
) -> Codec:
    """The codec of `model` as it is now, on its device. `lm_name` is what headers call it with the
    language model, the model's own name unless given. Raises as `make_engine`."""
    language_model = None if lm is None else language_model_of(lm_name or model.name, lm, options)
    device = str(next(model.parameters()).device)
    return Codec(weights_of(model), language_model, device=device, options=options)


def language_model_of(
    name: str, lm: LMModel, options: EngineOptions = EngineOptions()
) -> LanguageModel:
    """`lm`, a module, as a codec uses it. `name` is what headers call the codec with it."""
    config = LMConfig(parse_model_name(name).name, lm.dim, len(lm.transformer.layers), lm.depth)
    build = lm_build(options)
    return LanguageModel(name, lambda: lm, lambda: ExactLM.from_state(state_of(lm), config, build))


class CodecCache:
    """One codec for each model object, made again when the model's weights change or move.

    It does not keep a model alive: the codec is dropped with its model.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._codecs = WeakKeyDictionary[EncodecNetwork, tuple[list[object], Codec]]()

    def of(self, model: EncodecNetwork) -> Codec:
        """The codec of `model`, on the model's device, without a language model.

        Raises `WeightsError` where a codec has to be made and the model's name no longer says
        which weights it has (see `check_unchanged`).
        """
        threads = torch.get_num_threads()
        stamp = [threads, *_stamps(model)]
        with self._lock:
            kept = self._codecs.get(model)
            if kept is not None and kept[0] == stamp:
                return kept[1]
        check_unchanged(model)
        codec = codec_of(model, options=EngineOptions(threads=threads))
        with self._lock:
            self._codecs[model] = (stamp, codec)
        return codec


def _stamps(model: EncodecNetwork) -> list[object]:
    """What changes when a weight is written to or replaced."""
    stamps: list[object] = [model.name]
    for tensor in itertools.chain(model.parameters(), model.buffers()):
        version = 0 if tensor.is_inference() else tensor._version
        stamps.append((tensor.data_ptr(), version, tensor.dtype))
    return stamps
