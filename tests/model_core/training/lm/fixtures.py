"""A small codec whose codes vary, and a cache of a few seconds of sound."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from model_core.checkpoints.save import save_weights
from model_core.config import config_of
from model_core.model import EncodecModel
from tests.peers import signal


def small_weights(name: str, folder: Path) -> Path:
    """Write weights of a tiny network, its codebooks made of residuals; returns `folder`."""
    torch.manual_seed(3)
    config = replace(config_of(name), n_filters=2, dimension=8, lstm=0)
    model = EncodecModel(config).eval()
    with torch.no_grad():
        x = signal(config.channels, 14 * config.sample_rate, config.sample_rate)[None]
        latent = model.encoder(model.normalised(x)[0])[0].t()
        residual = latent
        for layer in model.quantizer.codebooks:
            rows = torch.randint(len(residual), (config.bins,))
            layer.codebook.embed.copy_(0.9 * residual[rows])
            residual = residual - layer.codebook.decode(layer.codebook.encode(residual))
    save_weights(model, folder, torch.float32)
    return folder


def small_cache(name: str, folder: Path) -> Path:
    """Write a cache: two recordings to train on, one of 1.3 s held out; returns `folder`."""
    config = config_of(name)
    rate = config.sample_rate
    lengths = {"a": 4 * rate, "b": 3 * rate, "c": round(1.3 * rate)}
    samples = signal(config.channels, sum(lengths.values()), rate, seed=1).numpy()
    folder.mkdir()
    np.save(folder / "audio.npy", (samples * 32767).astype(np.int16))
    entries, start = [], 0
    for file, length in lengths.items():
        split = "valid" if file == "c" else "train"
        entries.append(
            {"file": file, "category": "music", "split": split, "start": start, "length": length}
        )
        start += length
    (folder / "index.json").write_text(json.dumps(entries))
    return folder
