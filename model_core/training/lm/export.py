"""Export of a trained language model beside its codec's weights."""

import shutil
from pathlib import Path

import torch

from ...checkpoints import Registry, shared_registry, write_index
from ...checkpoints.load import load_network
from ...checkpoints.save import save_lm
from ...errors import WeightsError, WeightsUnavailableError
from ...nn.lm import LMModel
from ...nn.network import EncodecNetwork
from ..state import STATE, kind_of, load_state
from .codes import codebook_entries
from .network import LMNetwork
from .settings import EARLIER, LMTrainingConfig
from .trainer import BEST


def _load(run: Path) -> tuple[LMTrainingConfig, LMModel, str]:
    """The run's settings, its language model and the header name of its codec's weights."""
    best = run / BEST
    state = load_state(best if best.exists() else run / STATE)
    if state.get("kind") != "lm":
        raise WeightsError(f"{run}: not the state of a language model's run")
    try:
        settings = LMTrainingConfig(**(EARLIER | state["config"]))
        made_for = str(state["made_for"])
    except (KeyError, TypeError) as error:
        raise WeightsError(f"{run}: not the state of a language model's run: {error!r}") from error
    registry = shared_registry(settings.weights)
    model = load_network(registry.find_exact(made_for), EncodecNetwork)
    entries = codebook_entries(model)
    network = LMNetwork(
        LMModel.from_config(settings.lm_config),
        entries,
        torch.ones(entries.shape[:2]),
    )
    network.load_state_dict(state["average"])
    return settings, network.merged(), made_for


def export_lm(run: Path, folder: Path) -> Path:
    """Write the language model of a run into a folder of weights; returns its path.

    It has the averaged weights with the best evaluation, or the latest ones before the first
    evaluation. The folder's index then names it beside its codec. A folder without that codec gets
    a copy of it. Raises `WeightsError` for another kind of run, and if the folder's current codec
    is not the language model's; and what loading that codec raises.
    """
    settings, lm, made_for = _load(run)
    folder.mkdir(parents=True, exist_ok=True)
    model = _model_in(folder, settings, made_for)
    path = save_lm(lm, made_for, folder)
    write_index(folder, {settings.model: (model, path)})
    return path


def is_lm_run(folder: Path) -> bool:
    """Whether `folder` is the run of a language model. Raises `WeightsError` for a broken one."""
    return (folder / STATE).is_file() and kind_of(folder / STATE) == "lm"


def _model_in(folder: Path, settings: LMTrainingConfig, made_for: str) -> Path:
    try:
        found = Registry(str(folder.absolute())).find(settings.model)
    except WeightsUnavailableError:
        found = shared_registry(settings.weights).find_exact(made_for)
        if found.path.is_dir():
            raise WeightsError(f"{folder}: put the weights of {made_for} there first") from None
        return Path(shutil.copy2(found.path, folder))
    if found.header_name != made_for:
        raise WeightsError(f"{folder} holds {found.header_name}; this is made for {made_for}")
    return found.path
