"""The language model during training: the same function as `LMModel`, but it learns faster.

There are two differences. All frames of a batch go through at once, each sequence at its own
offset. And an entry's embeddings, and the row that predicts it, are the sum of a free part and a
projection of the entry's vector in the codec. What is learned of an entry then also holds for its
neighbours, which helps with little data. `merged` adds the parts; `start_from` parts them again.
"""

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...config import DEPTH_WIDTH
from ...nn.lm import LMModel, StreamingTransformerEncoderLayer, sin_embedding
from .data import LMBatch
from .loss import linear_bits


class LMNetwork(nn.Module):
    """`lm` holds the free parts and the transformer. `entries` `[K, card, D]`: the codebooks;
    `counts` `[K, card]`: how often each code occurs, for the initial predictions."""

    entries: Tensor

    def __init__(
        self,
        lm: LMModel,
        entries: Tensor,
        counts: Tensor,
        dropout: float = 0.0,
        code_noise: float = 0.0,
    ):
        super().__init__()
        self.lm = lm
        self.dropout = dropout
        self.code_noise = code_noise
        level = entries.pow(2).mean(dim=(1, 2), keepdim=True).sqrt().clamp(min=1e-8)
        size = entries.shape[-1]
        # Of norm 1: a step of the optimiser moves a tied row about as far as a free one.
        self.register_buffer("entries", entries / (level * math.sqrt(size)), persistent=False)
        spread = torch.randn(size, lm.dim)
        self.inward = nn.Parameter(spread * (level / level.max()))  # [K, D, dim]
        self.outward = nn.Parameter(torch.randn(lm.n_q, size, lm.dim) * 0.1 / math.sqrt(lm.dim))
        if lm.depth:
            spread = torch.randn(size, DEPTH_WIDTH)
            self.across = nn.Parameter(spread * (level / level.max())[:-1])  # of `depth_emb`
            nn.init.normal_(lm.depth_in.weight, std=1 / math.sqrt(lm.dim))
            for parameter in (*lm.depth_emb.parameters(), *lm.depth_out.parameters()):
                nn.init.zeros_(parameter)
        with torch.no_grad():
            for k in range(lm.n_q):
                _embedding(lm, k).weight.mul_(0.02)
                linear = _linear(lm, k)
                linear.weight.zero_()
                share = (counts[k] + 0.5) / (counts[k] + 0.5).sum()
                linear.bias.copy_(share.log() - share.log().mean())

    def bits(self, batch: LMBatch) -> tuple[Tensor, Tensor]:
        """The cost of the codes in bits: the mean, with a gradient, and each one `[B, T, K]`."""
        size, codebooks, steps = batch.inputs.shape
        out = self._transform(self._embed(self._noisy(batch.inputs)), batch.offsets).flatten(0, 1)
        if self.lm.depth:
            out = self._deepened(out, batch.targets.permute(1, 0, 2).flatten(1))
        mean, bits = linear_bits(
            out,
            self._output_weights(codebooks),
            self._biases(codebooks),
            batch.targets.permute(0, 2, 1).flatten(0, 1),
        )
        return mean, bits.view(size, steps, codebooks)

    def forward(self, inputs: Tensor, offsets: Tensor, codes: Tensor | None = None) -> Tensor:
        """Codes plus one `[B, K, T]`, first positions `[B]`; returns logits `[B, T, K, card]`. A
        depth head needs the `codes` `[B, K, T]` of the predicted frames."""
        size, codebooks, steps = inputs.shape
        out = self._transform(self._embed(inputs), offsets).flatten(0, 1)
        if self.lm.depth:
            assert codes is not None
            out = self._deepened(out, codes.permute(1, 0, 2).flatten(1))
        else:
            out = out.expand(codebooks, -1, -1)
        logits = torch.einsum("knd,kcd->nkc", out, self._output_weights(codebooks))
        return (logits + self._biases(codebooks)).view(size, steps, codebooks, -1)

    def merged(self) -> LMModel:
        """An `LMModel` for coding, with these weights."""
        lm = copy.deepcopy(self.lm)
        with torch.no_grad():
            embeddings, outputs = self._input_weights(lm.n_q), self._output_weights(lm.n_q)
            for k in range(lm.n_q):
                _embedding(lm, k).weight.copy_(embeddings[k])
                _linear(lm, k).weight.copy_(outputs[k])
            for k, table in enumerate(self._depth_tables(lm.n_q) if lm.depth else ()):
                _depth_embedding(lm, k).weight.copy_(table)
        return lm.eval()

    @torch.no_grad()
    def start_from(self, lm: LMModel) -> None:
        """Take the weights of `lm`, which has the same shape but perhaps no depth head: then the
        new one changes nothing yet. (The last layer's norm scales what the depth head's LayerNorm
        would undo; so its scale and bias move into the linear layers.)"""
        own = self.lm
        own.load_state_dict(lm.state_dict(), strict=False)
        if own.depth and not lm.depth:
            last = own.transformer.layers[-1]
            assert isinstance(last, StreamingTransformerEncoderLayer)
            for k in range(own.n_q):
                linear = _linear(own, k)
                linear.bias.add_(linear.weight @ last.norm2.bias)
                linear.weight.mul_(last.norm2.weight)
            last.norm2.weight.fill_(1)
            last.norm2.bias.zero_()
            for parameter in own.depth_out.parameters():
                parameter.zero_()
        for k in range(own.n_q):
            self._part(_embedding(own, k).weight[1:], self.inward[k], k)
            self._part(_linear(own, k).weight, self.outward[k], k)
            if lm.depth and k < own.n_q - 1:
                self._part(_depth_embedding(own, k).weight, self.across[k], k)

    def _part(self, rows: Tensor, tied: Tensor, k: int) -> None:
        """Move what a projection of the entries says of the free `rows` `[card, dim]` to `tied`
        `[D, dim]`."""
        entries = self.entries[k]
        tied.copy_(torch.linalg.lstsq(entries.cpu(), rows.cpu(), driver="gelsd").solution)
        rows -= entries @ tied

    def _deepened(self, out: Tensor, codes: Tensor) -> Tensor:
        """The linear layers' inputs `[K, N, dim]` from the transformer's output `[N, dim]` and the
        codes `[K, N]` of the frames, negative where there is none."""
        codebooks = len(codes)
        hidden = self.lm.depth_in(out)[None]
        if codebooks > 1:
            table = self._depth_tables(codebooks)
            first = torch.arange(codebooks - 1, device=codes.device)[:, None] * table.shape[1]
            seen = F.embedding(codes[:-1].clamp(min=0) + first, table.flatten(0, 1))
            hidden = torch.cat([hidden, seen.to(hidden)]).cumsum(dim=0)
        return F.layer_norm(out + self.lm.depth_out(F.relu(hidden)), out.shape[-1:])

    def _noisy(self, inputs: Tensor) -> Tensor:
        """In training, replaces some past codes by random ones."""
        if not (self.training and self.code_noise > 0):
            return inputs
        other = torch.randint_like(inputs, 1, self.lm.card + 1)
        drawn = torch.rand(inputs.shape, device=inputs.device) < self.code_noise
        return torch.where(drawn & (inputs > 0), other, inputs)

    def _biases(self, codebooks: int) -> Tensor:
        return torch.stack([_linear(self.lm, k).bias for k in range(codebooks)])

    def _input_weights(self, codebooks: int) -> Tensor:
        """`[K, card + 1, dim]`; the row for "no frame" has only a free part."""
        free = torch.stack([_embedding(self.lm, k).weight for k in range(codebooks)])
        tied = torch.bmm(self.entries[:codebooks], self.inward[:codebooks])
        return free + F.pad(tied, (0, 0, 1, 0)).to(free)

    def _output_weights(self, codebooks: int) -> Tensor:
        """`[K, card, dim]`."""
        free = torch.stack([_linear(self.lm, k).weight for k in range(codebooks)])
        return free + torch.bmm(self.entries[:codebooks], self.outward[:codebooks])

    def _depth_tables(self, codebooks: int) -> Tensor:
        """`[K - 1, card, DEPTH_WIDTH]`."""
        free = torch.stack([_depth_embedding(self.lm, k).weight for k in range(codebooks - 1)])
        return free + torch.bmm(self.entries[: codebooks - 1], self.across[: codebooks - 1])

    def _embed(self, inputs: Tensor) -> Tensor:
        """`[B, K, T]` to the sums of embeddings `[B, T, dim]`."""
        size, codebooks, steps = inputs.shape
        table = self._input_weights(codebooks)
        first = torch.arange(codebooks, device=inputs.device) * table.shape[1]
        index = inputs.permute(0, 2, 1).reshape(-1, codebooks) + first
        summed = F.embedding_bag(index, table.flatten(0, 1), mode="sum")
        return summed.view(size, steps, -1)

    def _transform(self, x: Tensor, offsets: Tensor) -> Tensor:
        """Like `StreamingTransformerEncoder`, over whole sequences `[B, T, dim]`."""
        transformer = self.lm.transformer
        steps = torch.arange(x.shape[1], device=x.device)
        positions = (offsets[:, None] + steps)[..., None]
        x = transformer.norm_in(x) + sin_embedding(positions, x.shape[2], transformer.max_period)
        x = self._drop(x)
        visible = _visible(x.shape[1], offsets, transformer.past_context)
        for layer in transformer.layers:
            assert isinstance(layer, StreamingTransformerEncoderLayer)
            x = layer.norm1(x + self._drop(_attend(layer.self_attn, x, visible)))
            x = layer.norm2(x + self._drop(layer.linear2(F.gelu(layer.linear1(x)))))
        return x

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training and self.dropout > 0)


def _visible(steps: int, offsets: Tensor, past_context: int) -> Tensor:
    """The keys that each frame sees: `[B, 1, T, 1 + T]`.

    The first key is the zeros at the start of a stream; a sequence from the middle does not see
    it, because there it is out of reach.
    """
    index = torch.arange(steps + 1, device=offsets.device)
    delta = index[1:, None] - index
    near = (delta >= 0) & (delta <= past_context)
    mask = near.expand(len(offsets), 1, steps, steps + 1).clone()
    mask[offsets > 0, :, :, 0] = False
    return mask


def _attend(attention: nn.MultiheadAttention, x: Tensor, visible: Tensor) -> Tensor:
    size, steps, dim = x.shape
    keys = F.pad(x, (0, 0, 1, 0))
    projected = F.linear(keys, attention.in_proj_weight, attention.in_proj_bias)
    heads = projected.view(size, steps + 1, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
    width = heads.shape[-1]
    heads = F.pad(heads, (0, -width % 8))  # the fast kernels on CUDA take multiples of 8 only
    y = F.scaled_dot_product_attention(
        heads[0][:, :, 1:], heads[1], heads[2], visible, scale=1 / math.sqrt(width)
    )
    y = y[..., :width].transpose(1, 2)
    out: Tensor = attention.out_proj(y.reshape(size, steps, dim))
    return out


def _embedding(lm: LMModel, k: int) -> nn.Embedding:
    layer = lm.emb[k]
    assert isinstance(layer, nn.Embedding)
    return layer


def _linear(lm: LMModel, k: int) -> nn.Linear:
    layer = lm.linears[k]
    assert isinstance(layer, nn.Linear)
    return layer


def _depth_embedding(lm: LMModel, k: int) -> nn.Embedding:
    layer = lm.depth_emb[k]
    assert isinstance(layer, nn.Embedding)
    return layer
