"""`python -m model_core.training.export RUN FOLDER`: a run's weights as a checkpoint to serve.

The folder's index is made to point to them.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..checkpoints import save_weights, write_index
from ..config import config_of
from ..errors import WeightsError
from ..model import EncodecModel


@dataclass(frozen=True)
class TrainedModel:
    """What a run has come to."""

    model: EncodecModel
    step: int
    minutes: float


def load_run(folder: Path) -> TrainedModel:
    """The model of a training run. Raises `WeightsError` before its quantiser has started."""
    state: dict[str, Any] = torch.load(folder / "state.pt", weights_only=True)
    if not state["quantising"]:
        raise WeightsError(f"{folder}: this run has no codebooks yet")
    config = config_of(state["config"]["model"]).with_filters(state["config"]["n_filters"])
    model = EncodecModel(config).eval()
    model.load_state_dict(state["model"])
    return TrainedModel(model, state["step"], state["spent"] / 60)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m model_core.training.export")
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    model = load_run(arguments.run).model
    arguments.folder.mkdir(parents=True, exist_ok=True)
    path = save_weights(model, arguments.folder)
    write_index(arguments.folder, {model.config.name: (path, None)})


if __name__ == "__main__":
    main()
