"""Section `gpu`: the engine on a CUDA device, arrays to arrays, beside the reference there.

Threads submit batches of blocks of many streams, like the service's workers. The limit is the
device's rate of multiply-adds in large matrix products of the same precision.
"""

import gc
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch

from model_core.config import ModelConfig
from model_core.engine import (
    BATCHES_AT_ONCE,
    EncodePrecision,
    Engine,
    EngineOptions,
    Precision,
)
from model_core.engine.cuda import CudaEngine
from model_core.engine.modules import arithmetic
from model_core.engine.torch_engine import TorchEngine
from model_core.model import EncodecModel

from .agreement import agreement
from .clips import Clip, CodedClip
from .contenders import MissingContenderError
from .contenders.reference import reference_model
from .macs import Direction, macs_per_second
from .models import seeded_model
from .plan import DEFAULT_BANDWIDTH, Plan
from .results import Row, Section
from .roofline import device_roofline
from .streams import Streams
from .table import Column, Table
from .timing import take_turns

BATCHES = (1, 8, 32, 128, 256)
PRECISIONS: dict[Direction, tuple[Precision, ...]] = {
    "encode": ("float32", "tf32"),
    "decode": ("float32", "tf32", "bfloat16"),
}
_BLOCKS_OF_ALL = 1024  # at most, over all streams of a run
_EAGER_BATCH, _EAGER_SECONDS = 32, 10

TABLE = Table(
    [
        Column("model", 13),
        Column("", 6),
        Column("contender", 9),
        Column("precision", 9),
        Column("batch", 5, 0),
        Column("x real time", 11, 0),
        Column("of limit", 8),
        Column("GiB", 5, 1),
        Column("beside torch on the CPU", 24),
    ]
)


@dataclass(frozen=True)
class Setting:
    """Our engine with given settings, on `device`."""

    direction: Direction
    precision: Precision
    batch: int
    device: torch.device

    def engine(self, model: EncodecModel) -> CudaEngine:
        if self.direction == "decode":
            options = EngineOptions(max_batch=self.batch, precision=self.precision)
        else:
            precision: EncodePrecision = "tf32" if self.precision == "tf32" else "float32"
            options = EngineOptions(max_batch=self.batch, encode_precision=precision)
        return CudaEngine(model, self.device, options)


def run(plan: Plan, section: Section) -> Iterator[Row]:
    """The rows as they come; without a device, none and a note."""
    if not torch.cuda.is_available():
        section.note("skipped: there is no CUDA device here")
        return
    device = torch.device("cuda")
    section.note(f"on {torch.cuda.get_device_name(device)}")
    limits = {precision: device_roofline(device, precision) for precision in PRECISIONS["decode"]}
    for name, direction in itertools.product(plan.models, plan.directions):
        model = seeded_model(name)
        wanted = on_the_cpu(model, direction)
        for precision, batch in itertools.product(PRECISIONS[direction], BATCHES):
            setting = Setting(direction, precision, batch, device)
            yield measured(model, setting, plan, limits[precision], wanted)
        try:
            theirs = reference_model(name, model.state_dict())
        except MissingContenderError as error:
            section.note(f"the reference is left out: {error}")
        else:
            eager = Eager("reference", theirs, model.config, direction, device)
            yield eager.measured(plan, limits["float32"])


def _forget_memory(device: torch.device) -> None:
    """Free the device's unused memory and reset the peak."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def on_the_cpu(model: EncodecModel, direction: Direction) -> list[np.ndarray]:
    """The outputs of the torch backend on the CPU for some streams, concatenated."""
    return _flat(_few(model, direction), TorchEngine(model))


def outputs_of(setting: Setting, model: EncodecModel) -> list[np.ndarray]:
    """Our engine's outputs for the same streams."""
    return _flat(_few(model, setting.direction), setting.engine(model))


def _few(model: EncodecModel, direction: Direction) -> Streams:
    return Streams(model.config, direction, DEFAULT_BANDWIDTH, 2, 4)


def measured(
    model: EncodecModel,
    setting: Setting,
    plan: Plan,
    limit: float,
    wanted: list[np.ndarray] | None = None,
    most_blocks: int = 10,
) -> Row:
    """A row of our engine, measured on streams of at most `most_blocks` blocks; `wanted` is the
    result of `on_the_cpu`, if known. The device may be the CPU, with a small batch."""
    _forget_memory(setting.device)
    config, direction = model.config, setting.direction
    engine = setting.engine(model)
    ours = _flat(_few(model, direction), engine)
    outputs = {"ours": ours, "torch": wanted or on_the_cpu(model, direction)}
    same = agreement(direction, "torch", outputs)["ours"]
    blocks = max(1, min(most_blocks, _BLOCKS_OF_ALL // setting.batch))
    streams = Streams(config, direction, DEFAULT_BANDWIDTH, setting.batch, blocks)
    streams.run(engine)
    job = {"ours": lambda: streams.run(engine, BATCHES_AT_ONCE)}
    seconds = median(take_turns(job, plan.runs, plan.budget)["ours"])
    rate = BATCHES_AT_ONCE * streams.seconds / seconds
    return _row(
        config, direction, "ours", setting.precision, setting.batch, rate, limit, setting.device
    ) | {"agreement": same}


def _flat(streams: Streams, engine: Engine) -> list[np.ndarray]:
    """All outputs, concatenated."""
    return [np.concatenate(list(block), axis=1) for block in streams.outputs(engine)]


@dataclass(frozen=True)
class Eager:
    """A plain network, the reference's or ours, on batches of whole clips, which are copied to the
    device and back. In float32, like our engine: by default torch uses TF32."""

    contender: str
    network: Any
    config: ModelConfig
    direction: Direction
    device: torch.device
    batch: int = _EAGER_BATCH
    seconds: float = _EAGER_SECONDS

    def measured(self, plan: Plan, limit: float) -> Row:
        """The row of this network."""
        _forget_memory(self.device)
        network, batch = self.network.to(self.device), self.batch
        network.set_target_bandwidth(DEFAULT_BANDWIDTH)
        clip = Clip(self.config, self.seconds)
        audio = torch.from_numpy(clip.whole()).expand(batch, -1, -1).contiguous()
        frames = [
            (torch.from_numpy(codes).expand(batch, -1, -1), scale)
            for codes, scale in CodedClip(clip, DEFAULT_BANDWIDTH).frames()
        ]

        def encode() -> None:
            for codes, _ in network.encode(audio.to(self.device)):
                codes.cpu()

        def decode() -> None:
            on_device = [
                (
                    codes.to(self.device),
                    None if scale is None else torch.full((batch, 1), scale).to(self.device),
                )
                for codes, scale in frames
            ]
            network.decode(on_device).cpu()

        job = encode if self.direction == "encode" else decode
        with torch.inference_mode(), arithmetic(self.device):
            job()
            times = take_turns({self.contender: job}, plan.runs, plan.budget)[self.contender]
        rate = batch * clip.seconds / median(times)
        return _row(
            self.config, self.direction, self.contender, "float32", batch, rate, limit, self.device
        )


def _row(
    config: ModelConfig,
    direction: Direction,
    contender: str,
    precision: Precision,
    batch: int,
    rate: float,
    limit: float,
    device: torch.device,
) -> Row:
    macs = macs_per_second(config, direction, DEFAULT_BANDWIDTH)
    taken = torch.cuda.max_memory_reserved(device) if device.type == "cuda" else None
    return {
        "model": config.name,
        "direction": direction,
        "contender": contender,
        "precision": precision,
        "batch": batch,
        "times_real_time": rate,
        "limit_macs_per_second": limit,
        "share_of_limit": rate * macs / limit,
        "device_bytes": taken,
        "agreement": None,
    }


def cells(row: Row) -> list[Any]:
    """A row as `TABLE` prints it."""
    taken = row["device_bytes"]
    return [
        row["model"], row["direction"], row["contender"], row["precision"], row["batch"],
        row["times_real_time"], f"{row['share_of_limit']:8.0%}",
        None if taken is None else taken / 2**30, row["agreement"],
    ]  # fmt: skip
