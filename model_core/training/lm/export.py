"""Export of a trained language model beside its codec's weights."""

import shutil
from pathlib import Path

import torch

from ...checkpoints import Registry, WeightSet, shared_registry, write_index
from ...checkpoints.files import weights_id
from ...checkpoints.load import load_network
from ...checkpoints.read import read_checked
from ...checkpoints.save import save_lm
from ...errors import WeightsError, WeightsUnavailableError
from ...nn.lm import LMModel
from ...nn.network import EncodecNetwork
from ..state import STATE, kind_of, load_state
from .codes import codebook_entries
from .network import LMNetwork
from .settings import EARLIER, LMTrainingConfig
from .trainer import BEST


def _load(run: Path, folder: Path) -> tuple[WeightSet, LMModel]:
    """The weights of the run's codec, in `folder` or where they were, and its language model."""
    best = run / BEST
    state = load_state(best if best.exists() else run / STATE)
    if state.get("kind") != "lm":
        raise WeightsError(f"{run}: not the state of a language model's run")
    try:
        settings = LMTrainingConfig(**(EARLIER | state["config"]))
        made_for = str(state["made_for"])
    except (KeyError, TypeError) as error:
        raise WeightsError(f"{run}: not the state of a language model's run: {error!r}") from error
    codec = _find(made_for, folder) or shared_registry(settings.weights).find_exact(made_for)
    entries = codebook_entries(load_network(codec, EncodecNetwork))
    network = LMNetwork(
        LMModel.from_config(settings.lm_config),
        entries,
        torch.ones(entries.shape[:2]),
    )
    network.load_state_dict(state["average"])
    return codec, network.merged()


def _find(made_for: str, folder: Path) -> WeightSet | None:
    if not folder.is_dir():
        return None
    try:
        return Registry(str(folder.absolute())).find_exact(made_for)
    except WeightsUnavailableError:
        return None


def export_lm(run: Path, folder: Path) -> Path:
    """Write the language model of a run into a folder of weights; returns its path.

    It has the averaged weights with the best evaluation, or the latest ones before the first
    evaluation. The folder's index then names it beside its codec. A folder without a codec gets
    a copy of the one it was trained for. A codec that differs from that one in its decoder alone
    makes the same codes and is as good. Raises `WeightsError` for another kind of run, and if the
    folder's current codec makes other codes; and what loading that codec raises.
    """
    trained_for, lm = _load(run, folder)
    folder.mkdir(parents=True, exist_ok=True)
    codec = _codec_in(folder, trained_for)
    path = save_lm(lm, codec.header_name, folder)
    write_index(folder, {codec.name: (codec.path, path)})
    return path


def is_lm_run(folder: Path) -> bool:
    """Whether `folder` is the run of a language model. Raises `WeightsError` for a broken one."""
    return (folder / STATE).is_file() and kind_of(folder / STATE) == "lm"


def _codec_in(folder: Path, trained_for: WeightSet) -> WeightSet:
    """The folder's current codec; a copy of `trained_for` if it has none."""
    registry = Registry(str(folder.absolute()))
    try:
        found = registry.find(trained_for.name)
    except WeightsUnavailableError:
        if trained_for.path.is_dir():
            name = trained_for.header_name
            raise WeightsError(f"{folder}: put the weights of {name} there first") from None
        shutil.copy2(trained_for.path, folder)
        return registry.find(trained_for.name)
    if found.path.is_dir():  # a Hugging Face model, which has no room for a language model
        raise WeightsError(f"{found.path}: export the codec in the format safetensors first")
    if found.header_name != trained_for.header_name and not _same_codes(found, trained_for):
        raise WeightsError(
            f"{folder} holds {found.header_name}; this is made for {trained_for.header_name}"
        )
    return found


def _same_codes(first: WeightSet, second: WeightSet) -> bool:
    """Whether two codecs have the same encoder and the same codebooks."""
    return first.config == second.config and _coding_id(first) == _coding_id(second)


def _coding_id(weights: WeightSet) -> str:
    """The id of all tensors but the decoder's."""
    state, _ = read_checked(weights)
    coding = {name: values for name, values in state.items() if not name.startswith("decoder.")}
    return weights_id(coding)
