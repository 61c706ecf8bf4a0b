"""The work on a batch of rows, in three parts, each captured once and replayed.

    first    everything up to the LSTM     once a batch
    again    the LSTM over the rows        as often as the longest run of rows of one stream
    last     everything after it           once a batch

Each `again` passes the state at the end of a row to the row that continues it: after n passes, the
first n rows of every stream are final. Tensors are passed by name, with the batch first.
"""

from abc import ABC, abstractmethod
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
    """For encoding: the most codebooks of a row."""

    beam: int = 1
    """For encoding: the paths that the search keeps; 0 for latents in place of codes."""


class Step(ABC):
    """A network's encoder or decoder, with examples of its inputs and outputs for a batch of one
    (outputs at their largest).

    `begin` `[S]` is the state of a stream that begins, zeros (None for a model without state):

    whether the stream has begun | the pasts before the LSTM | h and c | the pasts after it
    """

    inputs: Tensors
    outputs: Tensors

    def __init__(self, model: EncodecNetwork, plan: Plan):
        """Raises `ValueError` for a network without an LSTM."""
        self._config = model.config
        self._plan = plan
        self._modules = Modules(model, plan)
        self._codebooks = Codebooks(model)
        if self._modules.lstm is None:
            raise ValueError("there is no LSTM between the layers")
        lstm = self._lstm = self._modules.lstm.lstm
        state = 2 * lstm.num_layers * lstm.hidden_size
        self._sizes = [1, past_size(plan.before), state, past_size(plan.after)]
        self._dtype = model.quantizer.codebooks[0].codebook.embed.dtype
        begin = torch.zeros(sum(self._sizes), dtype=self._dtype)
        self.begin = begin if self._config.causal else None

    @abstractmethod
    def _read(self, given: Tensors) -> tuple[Tensor, Tensors]:
        """The input of the first layer, `[B, C, T]`, and what `_write` takes besides."""

    @abstractmethod
    def _write(self, x: Tensor, held: Tensors, variant: Variant) -> Tensors:
        """The outputs, from that of the last layer."""

    def first(self, given: Tensors, whole: bool) -> Tensors:
        """Up to the LSTM; returns what `again` and `last` take."""
        x, held = self._read(given)
        past = None
        if self._config.causal:
            begun, before, state, held["after"] = torch.split(given[CARRIED], self._sizes, dim=1)
            held["continues"] = given["continues"]
            held["begins"] = (begun[:, 0] == 0) & ~given["continues"]
            past = Past(before, held["continues"], held["begins"])
        else:
            state = x.new_zeros(len(x), self._sizes[2])
        rows = Rows(x, None if whole else given["length"])
        rows = run_layers(self._plan.before, self._modules, rows, past)
        if past is not None:
            held["before"] = past.ends()
        if rows.length is not None:
            held["length"] = rows.length
        # [2, layers, B, hidden]: h and c in which each row's LSTM begins
        dtype = next(self._lstm.parameters()).dtype
        shape = -1, 2, self._lstm.num_layers, self._lstm.hidden_size
        held["state"] = state.to(dtype).view(shape).permute(1, 2, 0, 3).contiguous()
        held["into"] = rows.x.to(dtype).permute(2, 0, 1).contiguous()
        return held

    def again(self, held: Tensors) -> Tensors:
        """The LSTM over all rows; then passes states to the rows that continue others."""
        h, c = held["state"]
        y, ends = self._lstm(held["into"], (h, c))
        end = torch.stack(ends)
        if self._config.causal:
            moved = torch.where(held["continues"][:, None], end.roll(1, 2), held["state"])
            held["state"].copy_(moved)
        return {"out": y, "end": end}

    def last(self, held: Tensors, variant: Variant) -> Tensors:
        """The layers after the LSTM, the outputs, and the new states of the streams."""
        past = None
        if self._config.causal:
            past = Past(held["after"], held["continues"], held["begins"])
        x = (held["out"] + held["into"]).permute(1, 2, 0)
        rows = run_layers(self._plan.after, self._modules, Rows(x, held.get("length")), past)
        outputs = self._write(rows.x, held, variant)
        if past is not None:
            end = held["end"].permute(2, 0, 1, 3).flatten(1).to(held["before"].dtype)
            begun = torch.ones_like(end[:, :1])
            outputs[CARRIED] = torch.cat([begun, held["before"], end, past.ends()], dim=1)
        return outputs

    def run(self, given: Tensors, variant: Variant, longest: int) -> Tensors:
        """All parts, kernel by kernel; `longest` is the longest run of rows of one stream."""
        held = self.first(given, variant.whole)
        for _ in range(longest):
            held |= self.again(held)
        return self.last(held, variant)


class EncodeStep(Step):
    """Samples `[B, C, T]`, of which `length` `[B]` are valid, to codes `[B, K, frames]` and, for a
    normalising model, scales `[B]`, not below `least_scale` `[B]`. Of the codes of a row, the first
    `num_codebooks` `[B]` count. In place of codes, latents `[B, D, frames]`."""

    def __init__(self, model: EncodecNetwork):
        config = model.config
        super().__init__(model, encoder_plan(config))
        samples = config.block_samples
        self.inputs = {
            "samples": torch.zeros(1, config.channels, samples, dtype=self._dtype),
            "num_codebooks": torch.ones(1, dtype=torch.int64),
            "length": torch.full((1,), samples),
            "continues": torch.zeros(1, dtype=torch.bool),
        }
        frames = config.frames(samples)
        self.outputs = {
            "codes": torch.zeros(1, config.num_codebooks, frames, dtype=CODE),
            "latent": torch.zeros(1, config.dimension, frames, dtype=self._dtype),
        }
        if config.normalize:
            self.inputs["least_scale"] = torch.zeros(1, dtype=self._dtype)
            self.outputs["scale"] = torch.zeros(1, dtype=self._dtype)

    def _read(self, given: Tensors) -> tuple[Tensor, Tensors]:
        x, length, held = given["samples"], given["length"], {"books": given["num_codebooks"]}
        if not self._config.normalize:
            return x, held
        x = only_inside(x, length)
        power = x.mean(dim=1).square().sum(dim=1) / length
        scale = torch.maximum(1e-8 + power.sqrt(), given["least_scale"])
        return x / scale[:, None, None], held | {"scale": scale}

    def _write(self, x: Tensor, held: Tensors, variant: Variant) -> Tensors:
        if not variant.beam:
            outputs = {"latent": x.to(self._dtype, memory_format=torch.contiguous_format)}
        else:
            codes = self._codes(x, held["books"], variant)
            outputs = {"codes": codes.to(CODE, memory_format=torch.contiguous_format)}
        if self._config.normalize:
            outputs["scale"] = held["scale"]
        return outputs

    def _codes(self, x: Tensor, books: Tensor, variant: Variant) -> Tensor:
        if variant.beam == 1:
            return self._codebooks.search(x, variant.num_codebooks)
        return self._codebooks.search_paths(x, books, variant.num_codebooks, variant.beam)


class DecodeStep(Step):
    """Codes `[B, K, frames]`, of which `length` `[B]` frames of the first `num_codebooks` `[B]`
    codebooks are valid, and the factor of the audio, `scale` `[B]`, to samples `[B, C, T]`."""

    def __init__(self, model: EncodecNetwork):
        config = model.config
        super().__init__(model, decoder_plan(config))
        frames = config.frames(config.block_samples)
        self.inputs = {
            "codes": torch.zeros(1, config.num_codebooks, frames, dtype=CODE),
            "num_codebooks": torch.ones(1, dtype=torch.int64),
            "length": torch.full((1,), frames),
            "scale": torch.ones(1, dtype=self._dtype),
            "continues": torch.zeros(1, dtype=torch.bool),
        }
        samples = torch.zeros(1, config.channels, frames * config.hop_length, dtype=self._dtype)
        self.outputs = {"samples": samples}

    def _read(self, given: Tensors) -> tuple[Tensor, Tensors]:
        latent = self._codebooks.look_up(given["codes"].long(), given["num_codebooks"])
        return latent, {"scale": given["scale"]}

    def _write(self, x: Tensor, held: Tensors, variant: Variant) -> Tensors:
        return {"samples": x.to(self._dtype) * held["scale"][:, None, None]}
