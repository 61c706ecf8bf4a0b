"""Trained weights from any source: a run, a folder of weights, one file, or a word."""

from dataclasses import dataclass
from pathlib import Path

import torch

from ..checkpoints import Registry
from ..checkpoints.files import weights_id
from ..checkpoints.load import load_lm, load_network
from ..checkpoints.load import load_state as load_tensors
from ..checkpoints.read import read_own_config, read_reference_config, read_state
from ..checkpoints.registry import WORDS
from ..checkpoints.weight_set import FileName
from ..config import CONFIGS, config_of
from ..errors import SettingsError, WeightsError, WeightsUnavailableError
from ..nn.lm import LMModel
from ..nn.network import EncodecNetwork
from .state import STATE, load_state


@dataclass(frozen=True)
class Loaded:
    """A codec, and the language model of its weights."""

    model: EncodecNetwork
    lm: LMModel | None = None
    step: int | None = None  # of the run; None for finished weights


def load_source(source: str, name: str | None = None) -> Loaded:
    """The weights that `source` holds for the model `name`, in eval mode on the CPU.

    `source` is a run's folder, a folder or file of weights, or `bundled`, `official`, `hf`,
    `auto`. `name` may also be a header's (`encodec_24khz:<8 hex>`), or None if there is only one
    model. Raises `SettingsError` if `name` is needed, `WeightsError` for unreadable weights and
    `WeightsUnavailableError` for missing ones.
    """
    path = Path(source).expanduser()
    if source not in WORDS and (path / STATE).is_file():
        loaded = load_run(path)
        if name not in (None, loaded.model.config.name):
            raise WeightsError(f"{source}: this run trains {loaded.model.config.name}, not {name}")
        return loaded
    if source not in WORDS and path.is_file():
        return Loaded(_load_file(path, name))
    if source not in WORDS and not path.exists():
        raise WeightsUnavailableError(
            f"{source}: there is no such run, folder or file of weights (nor is it one of the "
            f"words {', '.join(sorted(WORDS))})"
        )
    registry = Registry(source)
    found = registry.find(name or _only_model(registry, source))
    lm = None if found.lm is None else load_lm(registry.fetch_lm(found))
    return Loaded(load_network(found, EncodecNetwork), lm)


def load_run(folder: Path) -> Loaded:
    """The codec of a training run: its averaged weights if it keeps an average.

    Raises `WeightsError` before its quantiser has started and for another kind of run.
    """
    path = folder / STATE
    state = load_state(path)
    if state.get("kind", "codec") != "codec":
        raise WeightsError(f"{folder}: this is no codec's run but one of kind {state['kind']!r}")
    try:
        name, width = state["config"]["model"], state["config"]["n_filters"]
        tensors = {**state["model"], **(state.get("average") or {})}
        started, step = state["quantising"], state["step"]
    except (KeyError, TypeError) as error:
        raise WeightsError(f"{path}: not the state of a codec's run: {error!r}") from error
    if not started:
        raise WeightsError(f"{folder}: this run has no codebooks yet")
    with torch.random.fork_rng(devices=[]):
        model = EncodecNetwork(config_of(name).with_filters(width)).eval()
    load_tensors(model, tensors, path)
    return Loaded(model, step=step)


def _load_file(path: Path, name: str | None) -> EncodecNetwork:
    if path.suffix == ".safetensors":
        state, config = read_state(path), read_own_config(path)
    else:
        named = FileName.parse(path.name)
        known = name or (None if named is None else named.name)
        if known is None:
            raise SettingsError(f"{path}: say which model these weights are for")
        config = read_reference_config(path, config_of(known).name)
        state = read_state(path)
    if name not in (None, config.name):
        raise WeightsError(f"{path}: these are weights for {config.name}, not {name}")
    with torch.random.fork_rng(devices=[]):
        model = EncodecNetwork(config, f"{config.name}:{weights_id(state)}").eval()
    load_tensors(model, state, path)
    return model


def _only_model(registry: Registry, source: str) -> str:
    here = []
    for name in CONFIGS if source not in WORDS else ():
        try:
            registry.find(name)
        except WeightsUnavailableError:
            continue
        here.append(name)
    if source not in WORDS and not here:
        raise WeightsUnavailableError(f"{source}: there is neither a run nor weights in it")
    if len(here) != 1:
        raise SettingsError(f"{source}: say which model: {', '.join(here or CONFIGS)}")
    return here[0]
