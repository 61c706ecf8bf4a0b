"""Two generations of one model's weights in a folder, each with a language model."""

import copy
from dataclasses import dataclass
from pathlib import Path

import torch

from model_core import checkpoints
from model_core.checkpoints.save import save_lm, save_weights
from model_core.config import LMConfig
from model_core.model import load_model
from model_core.nn.lm import LMModel
from tests.service.narrow import write_narrow_models

NAME = "encodec_24khz"


@dataclass(frozen=True)
class Release:
    """What headers of files say that these weights made, without and with the LM."""

    model: str
    lm: str

    @property
    def weights(self) -> str:
        """The id in the model's file name."""
        return self.model.partition(":")[2]


def release_first(folder: Path) -> Release:
    """The first weights, current in `folder`."""
    write_narrow_models(folder)
    (model,) = folder.glob(f"{NAME}-*")
    (lm,) = folder.glob("encodec_lm_24khz-*")
    checkpoints.write_index(folder, {NAME: (model, lm)})
    return _release(model, lm)


def release_next(folder: Path) -> Release:
    """Better ones beside those that are there; from now on they are current."""
    model = copy.deepcopy(load_model(NAME, str(folder)))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(8)
        for parameter in model.parameters():
            parameter.mul_(1.05)
        lm = LMModel.from_config(LMConfig(NAME, dim=8, num_layers=1))
    path = save_weights(model, folder, torch.float32)
    header = f"{NAME}:{path.stem[-8:]}"
    lm_path = save_lm(lm, header, folder, torch.float32)
    checkpoints.write_index(folder, {NAME: (path, lm_path)})
    return _release(path, lm_path)


def _release(model: Path, lm: Path) -> Release:
    header = f"{NAME}:{model.stem[-8:]}"
    return Release(header, f"{header}+{lm.stem[-8:]}")
