"""The language model that a run starts from."""

from pathlib import Path

from ...checkpoints.load import load_lm
from ...checkpoints.read import read_own_lm
from ...checkpoints.weight_set import LMSet
from ...config import LMConfig
from ...errors import WeightsError
from ...nn.lm import LMModel
from ..source import load_source


def load_start(source: str, wanted: LMConfig) -> LMModel:
    """The language model in `source`: a folder of weights, a word such as `bundled`, or a
    `.safetensors` file.

    It may be of other weights of the same codec, and without a depth head. Raises `WeightsError`
    for another shape or where there is none, and what loading it raises.
    """
    path = Path(source).expanduser()
    if path.is_file():
        config, _ = read_own_lm(path)
        lm = load_lm(LMSet(config, path)) if config.name == wanted.name else None
    else:
        lm = load_source(source, wanted.name).lm
    if lm is None:
        raise WeightsError(f"{source}: it holds no language model for {wanted.name}")
    shape, ours = (lm.dim, len(lm.transformer.layers)), (wanted.dim, wanted.num_layers)
    if shape != ours or (lm.depth and not wanted.depth):
        depth = " and a depth head" if lm.depth else ""
        raise WeightsError(
            f"{source}: its language model has dim {shape[0]}, {shape[1]} layers{depth}; the run's "
            f"has dim {ours[0]}, {ours[1]} layers"
        )
    return lm
