"""`python -m model_core.training MODEL CACHE FOLDER`: train first weights."""

import argparse
from dataclasses import fields
from pathlib import Path

import torch

from .trainer import Trainer, TrainingConfig


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m model_core.training", description=__doc__)
    parser.add_argument("model", help="encodec_24khz or encodec_48khz")
    parser.add_argument("cache", type=Path, help="folder with audio.npy and index.json")
    parser.add_argument("folder", type=Path, help="where the run keeps its state and log")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    for field in fields(TrainingConfig):
        if field.name != "model":
            flag = "--" + field.name.replace("_", "-")
            parser.add_argument(flag, type=type(field.default), default=field.default)
    arguments = vars(parser.parse_args())
    torch.set_num_threads(arguments.pop("threads"))
    cache, folder = arguments.pop("cache"), arguments.pop("folder")
    Trainer(TrainingConfig(**arguments), cache, folder).run()


if __name__ == "__main__":
    main()
