"""The work on a batch of rows, in three parts, each captured once and replayed.

    first    everything up to the LSTM                       once a batch
    again    the LSTM over the rows                          as often as the longest run of rows of
                                                             one stream
    last     everything after it                             once a batch

The rows of one stream go through the convolutions in parallel; only the LSTM needs them one after
another. Each `again` runs it over all rows and then passes the state at the end of a row to the row
that continues it: after n passes, the first n rows of every stream are final.

Tensors are passed by name; their first dimension is the batch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ...nn.network import EncodecNetwork
from ..modules import Modules
from ..plan import Plan, decoder_plan, encoder_plan
from .network import Codebooks, run_layers
from .rows import Past, Rows, only_inside, past_size

Tensors = dict[str, Tensor]

CODE = torch.int32
"""The type of codes when copied to and from the device."""

CARRIED = "carried"
"""The streams' states, which stay on the device: an input and an output of causal models."""


@dataclass(frozen=True)
class Variant:
    """What a step is specialised for."""

    whole: bool = False
    """All rows are whole segments (48 kHz model): lengths are ignored."""

    num_codebooks: int = 0
    """For encoding: the number of codebooks to search."""


@dataclass(frozen=True)
class Step:
    """`first`, `again` and `last`, with examples of their inputs and outputs for a batch of one
    (outputs at their largest).

    `first` returns what `again` and `last` take. `begin` `[S]` is the state of a stream that begins
    (None for a model without state).
    """

    first: Callable[[Mapping[str, Tensor], bool], Tensors]
    again: Callable[[Mapping[str, Tensor]], Tensors]
    last: Callable[[Mapping[str, Tensor], Variant], Tensors]
    inputs: Tensors
    outputs: Tensors
    begin: Tensor | None


class _Network:
    """An encoder's or decoder's layers, and the state of a causal one as a row of numbers:

    whether the stream has begun | the pasts before the LSTM | h and c | the pasts after it
    """

    def __init__(self, model: EncodecNetwork, plan: Plan):
        """Raises `ValueError` for a network without an LSTM."""
        self._plan = plan
        self._modules = Modules(model, plan)
        if self._modules.lstm is None:
            raise ValueError("there is no LSTM between the layers")
        self._causal = model.config.causal
        lstm = self._lstm = self._modules.lstm.lstm
        self._layers, self._hidden = lstm.num_layers, lstm.hidden_size
        self._type = next(lstm.parameters()).dtype
        self._sizes = [
            1,
            past_size(plan.before),
            2 * self._layers * self._hidden,
            past_size(plan.after),
        ]

    def begin(self, dtype: torch.dtype) -> Tensor | None:
        """The state of a stream that begins: zeros."""
        return torch.zeros(sum(self._sizes), dtype=dtype) if self._causal else None

    def first(self, rows: Rows, given: Mapping[str, Tensor]) -> Tensors:
        """Up to the LSTM; returns what `again` and `last` take."""
        past, held = None, {}
        if self._causal:
            begun, before, state, after = torch.split(given[CARRIED], self._sizes, dim=1)
            held["continues"] = given["continues"]
            held["begins"] = (begun[:, 0] == 0) & ~given["continues"]
            held["after"] = after
            past = Past(before, held["continues"], held["begins"])
        else:
            state = rows.x.new_zeros(len(rows.x), self._sizes[2])
        rows = run_layers(self._plan.before, self._modules, rows, past)
        if past is not None:
            held["before"] = past.ends()
        if rows.length is not None:
            held["length"] = rows.length
        # [2, layers, B, hidden]: h and c in which each row's LSTM begins
        shaped = state.to(self._type).view(-1, 2, self._layers, self._hidden).permute(1, 2, 0, 3)
        held["state"] = shaped.contiguous()
        held["into"] = rows.x.to(self._type).permute(2, 0, 1).contiguous()
        return held

    def again(self, held: Mapping[str, Tensor]) -> Tensors:
        """The LSTM over all rows; then passes states to the rows that continue others."""
        h, c = held["state"]
        y, ends = self._lstm(held["into"], (h, c))
        end = torch.stack(ends)
        if "continues" in held:
            moved = torch.where(held["continues"][:, None], end.roll(1, 2), held["state"])
            held["state"].copy_(moved)
        return {"out": y, "end": end}

    def last(self, held: Mapping[str, Tensor]) -> tuple[Rows, Tensor | None]:
        """The layers after the LSTM, and the new states of the streams."""
        past = None
        if self._causal:
            past = Past(held["after"], held["continues"], held["begins"])
        x = (held["out"] + held["into"]).permute(1, 2, 0)
        rows = run_layers(self._plan.after, self._modules, Rows(x, held.get("length")), past)
        if past is None:
            return rows, None
        end = held["end"].permute(2, 0, 1, 3).flatten(1).to(held["before"].dtype)
        begun = torch.ones_like(end[:, :1])
        return rows, torch.cat([begun, held["before"], end, past.ends()], dim=1)


def encode_step(model: EncodecNetwork, samples: int) -> Step:
    """Samples `[B, C, T]`, of which `length` `[B]` are valid, to codes `[B, K, frames]` and, for a
    normalising model, scales `[B]`."""
    config = model.config
    network = _Network(model, encoder_plan(config))
    codebooks = Codebooks(model)

    def first(given: Mapping[str, Tensor], whole: bool) -> Tensors:
        x, length, scale = given["samples"], given["length"], None
        if config.normalize:
            x = only_inside(x, length)
            power = x.mean(dim=1).square().sum(dim=1) / length
            scale = 1e-8 + power.sqrt()
            x = x / scale[:, None, None]
        held = network.first(Rows(x, None if whole else length), given)
        return held if scale is None else held | {"scale": scale}

    def last(held: Mapping[str, Tensor], variant: Variant) -> Tensors:
        rows, carried = network.last(held)
        codes = codebooks.search(rows.x, variant.num_codebooks)
        out = {"codes": codes.to(CODE, memory_format=torch.contiguous_format)}
        if "scale" in held:
            out["scale"] = held["scale"]
        return out if carried is None else out | {CARRIED: carried}

    dtype = next(model.parameters()).dtype
    frames = config.frames(samples)
    inputs = {
        "samples": torch.zeros(1, config.channels, samples, dtype=dtype),
        "length": torch.full((1,), samples),
        "continues": torch.zeros(1, dtype=torch.bool),
    }
    outputs = {"codes": torch.zeros(1, config.num_codebooks, frames, dtype=CODE)}
    if config.normalize:
        outputs["scale"] = torch.zeros(1, dtype=dtype)
    return Step(first, network.again, last, inputs, outputs, network.begin(dtype))


def decode_step(model: EncodecNetwork, frames: int) -> Step:
    """Codes `[B, K, frames]`, of which `length` `[B]` frames of the first `num_codebooks` `[B]`
    codebooks are valid, and the factor of the audio, `scale` `[B]`, to samples `[B, C, T]`."""
    config = model.config
    network = _Network(model, decoder_plan(config))
    codebooks = Codebooks(model)
    dtype = model.quantizer.codebooks[0].codebook.embed.dtype

    def first(given: Mapping[str, Tensor], whole: bool) -> Tensors:
        latent = codebooks.look_up(given["codes"].long(), given["num_codebooks"])
        held = network.first(Rows(latent, None if whole else given["length"]), given)
        return held | {"scale": given["scale"]}

    def last(held: Mapping[str, Tensor], variant: Variant) -> Tensors:
        rows, carried = network.last(held)
        out = {"samples": rows.x.to(dtype) * held["scale"][:, None, None]}
        return out if carried is None else out | {CARRIED: carried}

    inputs = {
        "codes": torch.zeros(1, config.num_codebooks, frames, dtype=CODE),
        "num_codebooks": torch.ones(1, dtype=torch.int64),
        "length": torch.full((1,), frames),
        "scale": torch.ones(1, dtype=dtype),
        "continues": torch.zeros(1, dtype=torch.bool),
    }
    outputs = {"samples": torch.zeros(1, config.channels, frames * config.hop_length, dtype=dtype)}
    return Step(first, network.again, last, inputs, outputs, network.begin(dtype))
