"""The exact language model: entropy coding of codes whose bytes are the same on every machine.

The float weights are turned into integers once (`integer_lm`); two evaluations, in torch
(`torch_lm`) and in C++ (`native_lm`), agree in every bit. Only `torch_*` import torch.
"""

from .code_search import CodeSearch
from .exact import TOGETHER, ExactLM
from .fixed import MOST_FRAMES
from .integer_lm import ARITHMETIC

__all__ = ["ARITHMETIC", "MOST_FRAMES", "TOGETHER", "CodeSearch", "ExactLM"]
