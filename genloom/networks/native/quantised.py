"""A transformer whose weights are rounded to 8 or 4 bits, read by the C++ of this package.

Shape letters: B rows, L length, N tokens, D width, V vocabulary, P positions, K head width.
"""

import ctypes
from ctypes import POINTER, Structure, byref, c_float, c_int32, c_size_t, c_void_p
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genloom.networks.embedding import Symbols
from genloom.networks.native.build import available, library
from genloom.networks.native.packing import GROUP, Packed, pack, together
from genloom.networks.transformer import Transformer
from genloom.types import Condition, Tokens

BLOCK = 16  # positions; the cache has whole blocks
AT_ONCE = 256  # tokens in one step of the C++; longer texts are read in pieces of so many
ACTIVATIONS = ("swiglu", "relu2", "gelu")


def supported(network: nn.Module) -> str:
    """Why a network cannot be decoded natively, or "" where it can."""
    if not isinstance(network, Transformer):
        return "only transformers are decoded natively"
    config = network.config
    refused = {
        "it reads something else than symbols": not isinstance(network.enter, Symbols),
        "it gives something else than symbols": not isinstance(network.role.gives, Tokens),
        "it is not causal": not network.role.causal,
        "it has conditions": network.beside is not None or network.inform is not None or bool(network.role.cond.tokens),
        "it has hashed tables": bool(config.hashed),
        "it has layer norm": config.norm != "rms",
        "it has learned positions": config.positions != "rotary",
        f"its width {config.width} is no multiple of {GROUP}": config.width % GROUP != 0,
        f"its head width {config.K} is no multiple of {GROUP}": config.K % GROUP != 0,
        "it carries adapters": any(type(m) is not nn.Linear for m in matrices(network)),
    }
    reasons = [reason for reason, holds in refused.items() if holds]
    return f"{reasons[0]}, which native decoding does not know" if reasons else ""


def matrices(network: Transformer) -> list[Any]:
    inner = ("attention.qkv", "attention.out", "mlp.up", "mlp.down")
    return [block.get_submodule(name) for block in network.blocks for name in inner]


def quantised(network: nn.Module, bits: int, path: str = "") -> "Quantised":
    """The network with layers of `bits` (8 or 4) and a head of 8 bits. `path` asks for avx2 or avx512 code.

    Raises ValueError for a network that `supported` refuses and where there is no compiler for this machine.
    """
    reason = supported(network) or (not path and available())
    if reason:
        raise ValueError(
            f"This model cannot be read with {bits} bits: {reason.rstrip('.')}. Choose --precision float32."
        )
    if bits not in (4, 8):
        raise ValueError(f"Weights are rounded to 8 or 4 bits, and {bits} was asked for.")
    assert isinstance(network, Transformer)
    return Quantised(network, bits, library(path))


class Matrix(Structure):
    _fields_ = (
        ("rows", c_int32), ("columns", c_int32), ("bits", c_int32),
        ("quants", c_void_p), ("scales", c_void_p), ("bias", c_void_p),
    )  # fmt: skip


class Layer(Structure):
    _fields_ = (
        *((name, Matrix) for name in ("qkv", "out", "up", "down")),
        *((name, c_void_p) for name in ("norm_attention", "norm_mlp", "norm_query", "norm_key")),
    )


class Network(Structure):
    _fields_ = (
        *((name, c_int32) for name in ("depth", "width", "heads", "key_heads", "head_width", "hidden")),
        ("activation", c_int32), ("window", c_int32), ("eps", c_float), ("layers", POINTER(Layer)),
        ("norm", c_void_p), ("head", Matrix), ("cosines", c_void_p), ("sines", c_void_p),
    )  # fmt: skip


class Memory(Structure):
    _fields_ = (("keys", c_void_p), ("values", c_void_p), ("room", c_int32))


class Batch(Structure):
    _fields_ = (
        *((name, c_int32) for name in ("tokens", "runs", "wanted")),
        *((name, c_void_p) for name in ("rows", "positions", "firsts", "chosen")),
    )


@dataclass
class Slots:
    """Keys and values of every row in half precision, in the layout of attention.h; a row may be emptied and reused."""

    keys: Tensor  # B layers heads P*K, float16
    values: Tensor
    symbols: Tensor  # B P, what was read
    lengths: Tensor

    @property
    def room(self) -> int:
        """Positions that may be read."""
        return self.symbols.shape[1]

    def rows(self, rows: Tensor) -> "Slots":
        return Slots(self.keys[rows], self.values[rows], self.symbols[rows], self.lengths[rows])

    def empty(self, row: int) -> None:
        """Give a row to another text."""
        self.lengths[row] = 0


@dataclass(frozen=True)
class Plan:
    """Which token of a step stands where, N each: its row, its position, and its place in x_BL."""

    rows: np.ndarray
    positions: np.ndarray
    places: np.ndarray

    @staticmethod
    def of(before_B: np.ndarray, counts_B: np.ndarray) -> "Plan":
        rows = np.repeat(np.arange(len(counts_B)), counts_B)
        places = np.arange(len(rows)) - np.repeat(np.cumsum(counts_B) - counts_B, counts_B)
        return Plan(rows.astype(np.int32), (before_B[rows] + places).astype(np.int32), places)


class Quantised(nn.Module):
    """Obeys `CausalNetwork`; a token's logits do not depend on its company, on the pieces it is read in, or on the
    number of threads, to the last bit."""

    def __init__(self, network: Transformer, bits: int, compiled: ctypes.CDLL):
        super().__init__()
        assert isinstance(network.enter, Symbols)
        assert isinstance(network.role.gives, Tokens)
        self.bits, self.config, self.vocab = bits, network.config, network.role.gives.vocab
        self.compiled, self.rotary, self.window = compiled, network.rotary, network.window
        self.embed = nn.Embedding.from_pretrained(network.enter.embed.weight.detach())
        self.kept: list[Tensor] = []  # what the structures of C point into
        *inner, self.head = together([packed(m, bits) for m in matrices(network)] + [packed(network.head, 8)])
        self.weights = [*inner, self.head]
        fours = [inner[i : i + 4] for i in range(0, len(inner), 4)]
        layers = [self._layer(block, four) for block, four in zip(network.blocks, fours, strict=True)]
        self.layers = (Layer * len(layers))(*layers)
        self.norm = self._vector(network.norm.weight)
        self.angles: tuple[Tensor, Tensor] = (torch.zeros(0), torch.zeros(0))
        self.scratch = torch.zeros(0, dtype=torch.uint8)
        self.busy = Lock()  # the scratch area serves one step at a time, and `resume` none
        compiled.genloom_scratch.restype = c_size_t
        self.resumed = self.start(1, 0)  # of the last text; no more are kept

    @property
    def bytes(self) -> int:
        """Bytes of weights read for every step."""
        return sum(m.bytes for m in self.weights)

    def start(self, count: int, length: int) -> Slots:
        """An empty memory for `count` rows of up to `length` positions."""
        c = self.config
        shape = (count, c.depth, c.key_heads or c.heads, -(-length // BLOCK) * BLOCK * c.K)
        keys, values = torch.empty(shape, dtype=torch.float16), torch.empty(shape, dtype=torch.float16)
        if len(self.angles[0]) < length:
            cosines, sines = self.rotary.angles(torch.arange(-(-length // 1024) * 1024), torch.float32)
            half = c.K // 2
            self.angles = cosines[:, :half].contiguous(), sines[:, :half].contiguous()
        return Slots(keys, values, torch.zeros(count, length, dtype=torch.long), torch.zeros(count, dtype=torch.long))

    def resume(self, x_L: Tensor, length: int) -> Slots:
        """A memory for one row that has read as much of a text as the last text resumed here began with.

        That may still be going on. The last symbol is always left to read, for its logits.
        """
        fresh = self.start(1, length)
        with self.busy:
            last, self.resumed = self.resumed, fresh
            known = min(int(last.lengths), len(x_L) - 1)
            differs = (last.symbols[0, :known] != x_L[:known]).nonzero()
            known = int(differs[0]) if len(differs) else known
            size = -(-known // BLOCK) * BLOCK * self.config.K
            fresh.keys[..., :size] = last.keys[..., :size]
            fresh.values[..., :size] = last.values[..., :size]
            fresh.symbols[0, :known], fresh.lengths[0] = x_L[:known], known
        return fresh

    def forward(
        self,
        x: Tensor,
        t: Tensor | None = None,
        cond: Condition | None = None,
        lengths: Tensor | None = None,
        cache: Slots | None = None,
    ) -> Tensor:
        """Logits (B, L, V) after every real symbol of x (B, L); zero where a row has none."""
        if cache is None:
            cache = self.start(*x.shape)
        plan = self._plan(x, lengths, cache)
        logits_NV = self._read(x, plan, np.arange(len(plan.rows)), cache)
        if len(logits_NV) == x.numel():
            return logits_NV.view(*x.shape, -1)
        logits_BLV = logits_NV.new_zeros(*x.shape, logits_NV.shape[-1])
        logits_BLV[torch.from_numpy(plan.rows).long(), torch.from_numpy(plan.places)] = logits_NV
        return logits_BLV

    def last(self, x: Tensor, lengths: Tensor, cache: Slots) -> Tensor:
        """Logits (B, V) after the last symbol of every row; a long prompt needs no others."""
        plan = self._plan(x, lengths, cache)
        ends = np.flatnonzero(np.diff(plan.rows, append=-1))
        logits_BV = torch.zeros(len(x), self.vocab)
        logits_BV[torch.from_numpy(plan.rows[ends]).long()] = self._read(x, plan, ends, cache)
        return logits_BV

    def rewind(self, cache: Slots, length: int) -> None:
        """Forget what rows have read beyond `length` symbols; it is written over."""
        cache.lengths = cache.lengths.clamp(max=length)

    def _plan(self, x: Tensor, lengths: Tensor | None, cache: Slots) -> Plan:
        B, L = x.shape
        counts = np.full(B, L) if lengths is None else lengths.numpy()
        before = cache.lengths.numpy()
        if len(cache.lengths) != B or len(counts) != B or (counts < 0).any() or (counts > L).any():
            raise ValueError(f"A memory of {len(cache.lengths)} rows and {len(counts)} lengths cannot read {B} x {L}.")
        if (before < 0).any() or (before + counts > cache.room).any():
            raise ValueError(f"More was read than the {cache.room} positions there is room for.")
        return Plan.of(before, counts)

    def _read(self, x: Tensor, plan: Plan, chosen: np.ndarray, cache: Slots) -> Tensor:
        """Read all tokens of a plan; logits of the chosen ones (they ascend)."""
        c = self.config
        rows_N = torch.from_numpy(plan.rows).long()
        x_N = x[rows_N, torch.from_numpy(plan.places)]
        h_ND = self.embed(x_N).float()
        shape = (c.depth, c.key_heads or c.heads, -(-cache.room // BLOCK) * BLOCK * c.K)
        for part in (cache.keys, cache.values):
            assert (part.shape[1:], part.dtype, part.is_contiguous()) == (shape, torch.float16, True), (
                "another's memory"
            )
        with self.busy:
            cache.symbols[rows_N, torch.from_numpy(plan.positions).long()] = x_N
        logits = torch.empty(len(chosen), self.head.padded)
        for first in range(0, len(h_ND), AT_ONCE):
            end = min(first + AT_ONCE, len(h_ND))
            here = slice(*np.searchsorted(chosen, (first, end)))
            self._step(h_ND[first:end], plan, first, chosen[here] - first, cache, logits[here])
        cache.lengths = cache.lengths + torch.from_numpy(np.bincount(plan.rows, minlength=len(x)))
        logits_NV = logits[:, : self.vocab]
        cap = c.softcap
        return cap * torch.tanh(logits_NV / cap) if cap else logits_NV

    def _step(self, h_ND: Tensor, plan: Plan, first: int, chosen: np.ndarray, cache: Slots, logits: Tensor) -> None:
        n, threads = len(h_ND), torch.get_num_threads()
        rows, positions = (np.ascontiguousarray(a[first : first + n]) for a in (plan.rows, plan.positions))
        firsts = np.flatnonzero(np.diff(rows, prepend=-1, append=-1)).astype(np.int32)
        chosen = chosen.astype(np.int32)
        batch = Batch(n, len(firsts) - 1, len(chosen), *(a.ctypes.data for a in (rows, positions, firsts, chosen)))
        memory = Memory(cache.keys.data_ptr(), cache.values.data_ptr(), -(-cache.room // BLOCK) * BLOCK)
        with self.busy:
            network = self._network()
            needed = self.compiled.genloom_scratch(byref(network), n, memory.room, threads)
            if len(self.scratch) < needed:
                self.scratch = torch.empty(needed, dtype=torch.uint8)
            areas = (c_void_p(t.data_ptr()) for t in (h_ND, logits, self.scratch))
            self.compiled.genloom_step(byref(network), byref(memory), byref(batch), *areas, threads)

    def _network(self) -> Network:
        c = self.config
        hidden = self.layers[0].down.columns
        return Network(
            c.depth, c.width, c.heads, c.key_heads or c.heads, c.K, hidden, ACTIVATIONS.index(c.activation),
            self.window, c.norm_eps, self.layers, self.norm, as_matrix(self.head),
            self.angles[0].data_ptr(), self.angles[1].data_ptr(),
        )  # fmt: skip

    def _layer(self, block: Any, four: list[Packed]) -> Layer:
        norms = [block.norm_attention, block.norm_mlp, *(block.attention.norms or ())]
        return Layer(*map(as_matrix, four), *(self._vector(norm.weight) for norm in norms))

    def _vector(self, weight: Tensor) -> int:
        kept = weight.detach().float().contiguous().clone()
        self.kept.append(kept)
        return kept.data_ptr()


def packed(linear: Any, bits: int) -> Packed:
    weight, bias = linear.weight, getattr(linear, "bias", None)
    return pack(weight.detach(), bits, None if bias is None else bias.detach())


def as_matrix(m: Packed) -> Matrix:
    bias = 0 if m.bias is None else m.bias.data_ptr()
    return Matrix(m.padded, m.columns, m.bits, m.quants.data_ptr(), m.scales.data_ptr(), bias)
