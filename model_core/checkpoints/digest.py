"""The id of a set of weights: what they are, whatever file they came in."""

import hashlib
from collections.abc import Mapping

from torch import Tensor

State = Mapping[str, Tensor]

# What training keeps about a codebook; coding never reads it, and not every format carries it.
TRAINING_STATISTICS = ("inited", "cluster_size", "embed_avg")
ID_LENGTH = 8


def is_statistic(name: str) -> bool:
    """Whether the tensor called `name` has no influence on coding."""
    return "codebook." in name and name.rsplit(".", 1)[-1] in TRAINING_STATISTICS


def weights_id(state: State) -> str:
    """Eight hex digits of a sha256 over the tensors that coding depends on.

    `state` has reference names. The tensors go in sorted by name, each as a line
    `<name> <shape joined by x>` and then its values, float32, little-endian, row-major.
    """
    sha = hashlib.sha256()
    for name in sorted(state):
        if is_statistic(name):
            continue
        values = state[name].detach().cpu().float().contiguous().numpy()
        sha.update(f"{name} {'x'.join(map(str, values.shape))}\n".encode())
        sha.update(values.astype("<f4", copy=False).tobytes())
    return sha.hexdigest()[:ID_LENGTH]
