"""Memory of one contender for one case, in its own process, started by `footprint`.

python -m benchmarks.one_run CONTENDER MODEL DIRECTION SECONDS BANDWIDTH THREADS [BACKEND]

Prints the bytes by which the process, at its peak, exceeds its size with a warm model.
"""

import gc
import sys
from collections.abc import Sequence

import torch

from model_core.config import CONFIGS

from .clips import Clip, CodedClip
from .contenders import Contender, Job, build
from .memory import forget_peak, peak_resident, resident
from .models import seeded_model

_WARM_SECONDS = 1


def job_of(contender: Contender, direction: str, clip: Clip, bandwidth: float) -> Job:
    """The work, ready to run."""
    if direction == "encode":
        return contender.encoder(clip, bandwidth)
    return contender.decoder(CodedClip(clip, bandwidth))


def main(arguments: Sequence[str]) -> None:
    name, model, direction, seconds, bandwidth, threads, *backend = arguments
    torch.set_num_threads(int(threads))
    contender = build(name, seeded_model(model), *backend)
    config, kbps = CONFIGS[model], float(bandwidth)
    job_of(contender, direction, Clip(config, _WARM_SECONDS), kbps)(lambda out: None)
    gc.collect()
    before = resident()
    # Input that the contender needs as a whole counts, the work of making it does not.
    job = job_of(contender, direction, Clip(config, float(seconds)), kbps)
    forget_peak()
    job(lambda out: None)
    print(max(0, peak_resident() - before))


if __name__ == "__main__":
    main(sys.argv[1:])
