"""Each convolution alone, by algorithm, precision and layout: what the network could gain, and
where. The first way is the engine's, the others are for comparison."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model_core.engine.cuda.capture import in_new_thread
from model_core.engine.modules import Multiplication, arithmetic
from model_core.engine.plan import Convolution

from ..plan import DIRECTIONS
from .check import MODELS, Check
from .parts import Parts
from .report import Report, first_line
from .timed import milliseconds
from .walk import convolutions_of, named


@dataclass(frozen=True)
class Way:
    """A way to compute a convolution. `flat`: the channels of a sample are adjacent."""

    name: str
    multiplication: Multiplication = "ieee"
    dtype: torch.dtype = torch.float32
    search: bool = False
    deterministic: bool = True
    flat: bool = False


WAYS = (
    Way("float32"),
    Way("searched", search=True),
    Way("any", search=True, deterministic=False),
    Way("flat", flat=True),
    Way("tf32", "tf32"),
    Way("tf32 searched", "tf32", search=True),
    Way("tf32 flat", "tf32", flat=True),
    Way("bfloat16", dtype=torch.bfloat16),
    Way("bfloat16 searched", dtype=torch.bfloat16, search=True),
    Way("bfloat16 flat", dtype=torch.bfloat16, flat=True),
)


@dataclass(frozen=True)
class Case:
    """A convolution `what` of `rows` signals of `size` samples, padding included."""

    what: str
    inner: nn.Conv1d | nn.ConvTranspose1d
    rows: int
    size: int

    @property
    def windows(self) -> int:
        if isinstance(self.inner, nn.ConvTranspose1d):
            return self.size
        reach = self.inner.dilation[0] * (self.inner.kernel_size[0] - 1)
        return (self.size - reach - 1) // self.inner.stride[0] + 1

    @property
    def macs(self) -> int:
        """Multiply-adds."""
        inner = self.inner
        taps = inner.in_channels * inner.out_channels * inner.kernel_size[0]
        return self.rows * self.windows * taps


def run(check: Check, report: Report) -> None:
    if not check.has_gpu:
        report.skipped("each convolution", "needs CUDA")
        return
    cases: dict[str, Case] = {}
    for name, direction in itertools.product(MODELS, DIRECTIONS):
        for case in cases_of(Parts(check, check.model(name), direction)):
            cases.setdefault(case.what, case)
    for case in sorted(cases.values(), key=lambda case: -case.macs):
        if report.in_time(case.what, 2):
            with report.part(case.what):
                _case(check, report, case)


def cases_of(parts: Parts) -> Iterator[Case]:
    """The convolutions of a step, with inputs of the engine's sizes."""
    with parts.launching():
        found = [(layer, rows) for layer, rows in convolutions_of(parts)]
    for layer, rows in found:
        size = rows.x.shape[-1] + _padding(layer, parts.config.causal)
        what = named(layer, rows, parts.config.causal)
        yield Case(what, parts.modules.convolution(layer), len(rows.x), size)


def _padding(layer: Convolution, causal: bool) -> int:
    if layer.transposed:
        return 1 if causal else 0
    return layer.padding + layer.stride - 1


def _case(check: Check, report: Report, case: Case) -> None:
    times: dict[str, float] = {}
    errors: dict[str, str] = {}
    for way in WAYS:
        try:
            # Otherwise a search would find the algorithm of the way before.
            times[way.name] = in_new_thread(partial(_time, check.device, case, way))
        except RuntimeError as error:
            errors[way.name] = first_line(error)
            check.wait()
    rates = {name: case.macs / ms / 1e9 for name, ms in times.items()}  # T multiply-adds per second
    report.done(
        case.what,
        ", ".join(f"{name} {ms:.3f} ({rates[name]:.1f})" for name, ms in times.items()),
        milliseconds=times,
        rates=rates,
        errors=errors,
    )


@torch.inference_mode()
def _time(device: torch.device, case: Case, way: Way) -> float:
    """Milliseconds."""
    inner = case.inner
    x = torch.randn(case.rows, inner.in_channels, 1, case.size, device=device, dtype=way.dtype)
    weight = inner.weight.to(device, way.dtype)[:, :, None]
    bias = None if inner.bias is None else inner.bias.to(device, way.dtype)
    if way.flat:
        x = x.to(memory_format=torch.channels_last)
        weight = weight.to(memory_format=torch.channels_last)
    stride, dilation = (1, inner.stride[0]), (1, inner.dilation[0])
    if isinstance(inner, nn.ConvTranspose1d):

        def convolve() -> Tensor:
            return F.conv_transpose2d(x, weight, bias, stride)
    else:

        def convolve() -> Tensor:
            return F.conv2d(x, weight, bias, stride, dilation=dilation)

    with arithmetic(device, way.multiplication):
        torch.backends.cudnn.benchmark = way.search
        torch.backends.cudnn.deterministic = way.deterministic
        return milliseconds(convolve, device, runs=5)
