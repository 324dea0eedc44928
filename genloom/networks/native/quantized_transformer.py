"""A transformer with weights quantized to 8 or 4 bits, decoded by the C++ of this package.

Shape letters: B rows, L length, N tokens, D width, V vocabulary, P positions, K head width.
"""

import ctypes
from collections.abc import Sequence
from ctypes import byref, c_size_t, c_void_p
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genloom.errors import GenloomError
from genloom.networks.embedding import TokenEmbedding
from genloom.networks.native.block_quantization import GROUP_SIZE, QuantizedMatrix, place_contiguously, quantize_matrix
from genloom.networks.native.build import get_unavailable_reason, load_library
from genloom.networks.native.prompt_states import CACHE_BLOCK, PromptReader, PromptStates
from genloom.networks.native.structures import CBatch, CCache, CLayer, CMatrix, CNetwork
from genloom.networks.transformer import Transformer
from genloom.types import Condition, TokenSpace

MAX_STEP_TOKENS = 256  # tokens in one step of the C++; longer texts take several steps
ACTIVATIONS = ("swiglu", "relu2", "gelu")


def get_unsupported_reason(network: nn.Module) -> str:
    """Return why native decoding does not support a network, or "" if it does."""
    if not isinstance(network, Transformer):
        return "native decoding supports only transformers"
    config = network.config
    limitations = {
        "an input that is not tokens": not isinstance(network.embedding, TokenEmbedding),
        "an output that is not tokens": not isinstance(network.spec.output, TokenSpace),
        "networks that are not causal": not network.spec.is_causal,
        "conditions other than prompts": network.field_embed is not None or network.mod_embed is not None,
        "prompts beside heads of another width": bool(network.spec.condition.tokens)
        and config.K * config.heads != config.width,
        "layer norm": config.norm != "rms",
        "learned positions": config.positions != "rotary",
        f"a width of {config.width} (not a multiple of {GROUP_SIZE})": config.width % GROUP_SIZE != 0,
        f"a head width of {config.K} (not a multiple of {GROUP_SIZE})": config.K % GROUP_SIZE != 0,
        "adapters": any(type(m) is not nn.Linear for m in list_linears(network)),
    }
    reasons = [reason for reason, applies in limitations.items() if applies]
    return f"native decoding does not support {reasons[0]}" if reasons else ""


def list_linears(network: Transformer) -> list[Any]:
    """Return the linear layers of all blocks, in the order of the C++ layers."""
    layer_names = ("attention.qkv", "attention.out", "mlp.up", "mlp.down")
    if network.spec.condition.tokens:
        layer_names += ("cross_attention.q_proj", "cross_attention.out")
    return [block.get_submodule(name) for block in network.blocks for name in layer_names]


def quantize_network(network: nn.Module, bits: int, instruction_set: str = "") -> "QuantizedTransformer":
    """Return the network with layers of `bits` (8 or 4) and a head of 8 bits.

    `instruction_set` is "avx2", "avx512" or "" for the best. Raise GenloomError for an unsupported network, and if the
    machine has no compiler or no such instructions.
    """
    reason = get_unsupported_reason(network) or (not instruction_set and get_unavailable_reason())
    if reason:
        raise GenloomError("networks.not_quantizable", bits=bits, reason=reason.rstrip("."))
    if bits not in (4, 8):
        raise GenloomError("networks.quantization_bits", bits=bits)
    assert isinstance(network, Transformer)
    return QuantizedTransformer(network, bits, load_library(instruction_set))


@dataclass
class QuantizedKVCache:
    """Keys and values of every row in half precision, in the layout of attention.h; a reset row can be reused."""

    keys: Tensor  # B layers heads P*K, float16
    values: Tensor
    tokens: Tensor  # B P, the tokens read
    lengths: Tensor
    states: PromptStates | None = None  # from the first step on, if the network reads prompts

    @property
    def capacity(self) -> int:
        """Return how many positions a row can hold."""
        return self.tokens.shape[1]

    @property
    def num_bytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes

    def select_rows(self, rows: Tensor) -> "QuantizedKVCache":
        states = None if self.states is None else self.states.select_rows(rows)
        return QuantizedKVCache(self.keys[rows], self.values[rows], self.tokens[rows], self.lengths[rows], states)

    def list_row_pointers(self) -> list[tuple[int, int, int]]:
        """Return where the keys and the values of each row are, and how many positions it holds."""
        capacity, row_bytes = round_capacity(self.capacity), self.keys.nbytes // max(len(self.keys), 1)
        keys, values = self.keys.data_ptr(), self.values.data_ptr()
        return [(keys + row * row_bytes, values + row * row_bytes, capacity) for row in range(len(self.keys))]


@dataclass(frozen=True)
class StepLayout:
    """The row, position and column in x_BL of each token of a step, N each."""

    rows: np.ndarray
    positions: np.ndarray
    columns: np.ndarray

    @staticmethod
    def from_lengths(offsets_B: np.ndarray, lengths_B: np.ndarray) -> "StepLayout":
        rows = np.repeat(np.arange(len(lengths_B)), lengths_B)
        columns = np.arange(len(rows)) - np.repeat(np.cumsum(lengths_B) - lengths_B, lengths_B)
        return StepLayout(rows.astype(np.int32), (offsets_B[rows] + columns).astype(np.int32), columns)


class QuantizedTransformer(nn.Module):
    """A `CausalNetwork`; a token's logits do not depend on other rows, on how a text is split, or on the number of
    threads, to the last bit."""

    def __init__(self, network: Transformer, bits: int, library: ctypes.CDLL):
        super().__init__()
        assert isinstance(network.embedding, TokenEmbedding)
        assert isinstance(network.spec.output, TokenSpace)
        self.bits, self.config, self.vocab = bits, network.config, network.spec.output.vocab_size
        self.library, self.rotary, self.window = library, network.rotary, network.window
        self.embed = nn.Embedding.from_pretrained(network.embedding.embed.weight.detach())
        self.pinned_tensors: list[Tensor] = []  # the C structures point into these
        *inner_matrices, self.head = place_contiguously(
            [quantize_linear(m, bits) for m in list_linears(network)] + [quantize_linear(network.head, 8)]
        )
        self.matrices = [*inner_matrices, self.head]
        num_matrices = len(inner_matrices) // len(network.blocks)
        matrices_by_layer = [inner_matrices[i : i + num_matrices] for i in range(0, len(inner_matrices), num_matrices)]
        layers = [
            self._build_layer_struct(block, layer_matrices)
            for block, layer_matrices in zip(network.blocks, matrices_by_layer, strict=True)
        ]
        self.layers = (CLayer * len(layers))(*layers)
        self.norm = self._pin_vector(network.norm.weight)
        self.prompt_reader = PromptReader(list(network.blocks)) if network.spec.condition.tokens else None
        self.cos_sin: tuple[Tensor, Tensor] = (torch.zeros(0), torch.zeros(0))
        self.scratch = torch.zeros(0, dtype=torch.uint8)
        self.lock = Lock()  # one step at a time uses the scratch area, and no `reuse_prefix` runs at the same time
        library.genloom_scratch.restype = c_size_t
        self.prefix_cache = self.init_cache(1, 0)  # of the last text only

    @property
    def num_bytes(self) -> int:
        """Return the bytes of weights that every step reads."""
        return sum(m.num_bytes for m in self.matrices)

    def init_cache(self, count: int, length: int) -> QuantizedKVCache:
        """Return an empty cache for `count` rows of up to `length` positions."""
        c = self.config
        shape = (count, c.depth, c.key_heads or c.heads, round_capacity(length) * c.K)
        keys, values = torch.empty(shape, dtype=torch.float16), torch.empty(shape, dtype=torch.float16)
        if len(self.cos_sin[0]) < length:
            cosines, sines = self.rotary.compute_cos_sin(torch.arange(-(-length // 1024) * 1024), torch.float32)
            half = c.K // 2
            self.cos_sin = cosines[:, :half].contiguous(), sines[:, :half].contiguous()
        return QuantizedKVCache(
            keys, values, torch.zeros(count, length, dtype=torch.long), torch.zeros(count, dtype=torch.long)
        )

    def reuse_prefix(self, x_L: Tensor, length: int) -> QuantizedKVCache:
        """Return a cache for one row with the longest prefix that x shares with the previous text.

        Decoding of that text may still continue. The last token always remains unread, for its logits.
        """
        with self.lock:
            cache = self.copy_prefix([self.prefix_cache], x_L, length)
            self.prefix_cache = cache
        return cache

    def copy_prefix(self, sources: Sequence[QuantizedKVCache], x_L: Tensor, length: int) -> QuantizedKVCache:
        """Return a cache for one row with the longest prefix that x shares with the first row of any source."""
        cache = self.init_cache(1, length)
        lengths = [count_shared_tokens(source, x_L) for source in sources]
        prefix_length = max(lengths, default=0)
        if prefix_length:
            source, size = sources[lengths.index(prefix_length)], round_capacity(prefix_length) * self.config.K
            cache.keys[..., :size] = source.keys[:1, ..., :size]
            cache.values[..., :size] = source.values[:1, ..., :size]
            cache.tokens[0, :prefix_length], cache.lengths[0] = x_L[:prefix_length], prefix_length
        return cache

    def forward(
        self,
        x: Tensor,
        t: Tensor | None = None,
        cond: Condition | None = None,
        lengths: Tensor | None = None,
        cache: QuantizedKVCache | None = None,
    ) -> Tensor:
        """Return logits (B, L, V) after every valid token of x (B, L); zero for padding."""
        if cache is None:
            cache = self.init_cache(*x.shape)
        self._read_prompts(cache, cond)
        layout = self._build_layout(x, lengths, cache)
        logits_NV = self._read_rows(x, layout, np.arange(len(layout.rows)), cache)
        if len(logits_NV) == x.numel():
            return logits_NV.view(*x.shape, -1)
        logits_BLV = logits_NV.new_zeros(*x.shape, logits_NV.shape[-1])
        logits_BLV[torch.from_numpy(layout.rows).long(), torch.from_numpy(layout.columns)] = logits_NV
        return logits_BLV

    def compute_last_logits(self, x: Tensor, lengths: Tensor, cache: QuantizedKVCache) -> Tensor:
        """Return logits (B, V) after the last token of every row; a long prompt needs no others."""
        layout = self._build_layout(x, lengths, cache)
        ends = np.flatnonzero(np.diff(layout.rows, append=-1))
        logits_BV = torch.zeros(len(x), self.vocab)
        logits_BV[torch.from_numpy(layout.rows[ends]).long()] = self._read_rows(x, layout, ends, cache)
        return logits_BV

    def compute_joint_logits(self, pieces: Sequence[Tensor], caches: Sequence[QuantizedKVCache]) -> Tensor:
        """Read the next tokens of every text into its cache of one row; return logits (B, V) after each piece."""
        counts = np.array([len(piece) for piece in pieces])
        layout = self._check_layout(np.array([int(cache.lengths[0]) for cache in caches]), counts, caches)
        x_N = torch.cat([*pieces])
        logits_BV = self._forward_tokens(x_N, layout, np.cumsum(counts) - 1, caches)
        for piece, cache in zip(pieces, caches, strict=True):
            begin = int(cache.lengths[0])
            with self.lock:
                cache.tokens[0, begin : begin + len(piece)] = piece
            cache.lengths = cache.lengths + len(piece)
        return logits_BV

    def truncate(self, cache: QuantizedKVCache, length: int) -> None:
        """Drop what rows have read beyond `length` tokens."""
        cache.lengths = cache.lengths.clamp(max=length)

    def _read_prompts(self, cache: QuantizedKVCache, cond: Condition | None) -> None:
        """Give a cache the states of its rows' prompts, before its first step."""
        if self.prompt_reader is not None and cache.states is None:
            cache.states = self.prompt_reader.read(cond, len(cache.lengths))

    def _build_layout(self, x: Tensor, lengths: Tensor | None, cache: QuantizedKVCache) -> StepLayout:
        B, L = x.shape
        counts = np.full(B, L) if lengths is None else lengths.numpy()
        if len(cache.lengths) != B or len(counts) != B or (counts < 0).any() or (counts > L).any():
            raise GenloomError(
                "networks.cache_mismatch", cache_rows=len(cache.lengths), lengths=len(counts), rows=B, columns=L
            )
        return self._check_layout(cache.lengths.numpy(), counts, [cache])

    def _check_layout(
        self, offsets_B: np.ndarray, counts_B: np.ndarray, caches: Sequence[QuantizedKVCache]
    ) -> StepLayout:
        """Return the layout of a step; raise GenloomError if a row has no room for its tokens."""
        capacities_B = np.repeat([cache.capacity for cache in caches], [len(cache.lengths) for cache in caches])
        if (offsets_B < 0).any() or (offsets_B + counts_B > capacities_B).any():
            raise GenloomError("networks.cache_full", capacity=int(capacities_B.min()))
        return StepLayout.from_lengths(offsets_B, counts_B)

    def _read_rows(self, x: Tensor, layout: StepLayout, logit_tokens: np.ndarray, cache: QuantizedKVCache) -> Tensor:
        """Read all tokens of a layout of x (B, L); return the logits of `logit_tokens` (ascending)."""
        rows_N = torch.from_numpy(layout.rows).long()
        x_N = x[rows_N, torch.from_numpy(layout.columns)]
        with self.lock:
            cache.tokens[rows_N, torch.from_numpy(layout.positions).long()] = x_N
        logits_NV = self._forward_tokens(x_N, layout, logit_tokens, [cache])
        cache.lengths = cache.lengths + torch.from_numpy(np.bincount(layout.rows, minlength=len(x)))
        return logits_NV

    def _forward_tokens(
        self, x_N: Tensor, layout: StepLayout, logit_tokens: np.ndarray, caches: Sequence[QuantizedKVCache]
    ) -> Tensor:
        """Read tokens into the rows of the caches; return the logits of `logit_tokens` (ascending)."""
        c = self.config
        h_ND = self.embed(x_N).float()
        for cache in caches:
            self._read_prompts(cache, None)
            shape = (c.depth, c.key_heads or c.heads, round_capacity(cache.capacity) * c.K)
            for tensor in (cache.keys, cache.values):
                assert (tensor.shape[1:], tensor.dtype, tensor.is_contiguous()) == (shape, torch.float16, True), (
                    "a cache of another network"
                )
        logits = torch.empty(len(logit_tokens), self.head.padded_rows)
        for first in range(0, len(h_ND), MAX_STEP_TOKENS):
            end = min(first + MAX_STEP_TOKENS, len(h_ND))
            chunk = slice(*np.searchsorted(logit_tokens, (first, end)))
            self._run_step(h_ND[first:end], layout, first, logit_tokens[chunk] - first, caches, logits[chunk])
        logits_NV = logits[:, : self.vocab]
        cap = c.softcap
        return cap * torch.tanh(logits_NV / cap) if cap else logits_NV

    def _run_step(
        self,
        h_ND: Tensor,
        layout: StepLayout,
        first: int,
        logit_tokens: np.ndarray,
        caches: Sequence[QuantizedKVCache],
        logits: Tensor,
    ) -> None:
        num_tokens, threads = len(h_ND), torch.get_num_threads()
        rows, positions = (np.ascontiguousarray(a[first : first + num_tokens]) for a in (layout.rows, layout.positions))
        run_starts = np.flatnonzero(np.diff(rows, prepend=-1, append=-1)).astype(np.int32)
        logit_tokens = logit_tokens.astype(np.int32)
        batch = CBatch(
            num_tokens,
            len(run_starts) - 1,
            len(logit_tokens),
            *(a.ctypes.data for a in (rows, positions, run_starts, logit_tokens)),
        )
        row_pointers = np.array([row for cache in caches for row in cache.list_row_pointers()], np.uint64)
        keys, values = (np.ascontiguousarray(row_pointers[:, i]) for i in (0, 1))
        capacities = row_pointers[:, 2].astype(np.int32)
        states = [row for cache in caches if cache.states is not None for row in cache.states.list_row_pointers()]
        state_pointers = np.array(states, np.uint64).reshape(-1, 4)
        state_keys, state_values = (np.ascontiguousarray(state_pointers[:, i]) for i in (0, 1))
        state_counts, state_capacities = (state_pointers[:, i].astype(np.int32) for i in (2, 3))
        max_capacity = int(max(capacities.max(), state_capacities.max(initial=0)))
        c_cache = CCache(
            *(a.ctypes.data for a in (keys, values, capacities)),
            max_capacity,
            *(a.ctypes.data for a in (state_keys, state_values, state_counts, state_capacities)),
        )
        with self.lock:
            network = self._build_network_struct()
            scratch_bytes = self.library.genloom_scratch(byref(network), num_tokens, max_capacity, threads)
            if len(self.scratch) < scratch_bytes:
                self.scratch = torch.empty(scratch_bytes, dtype=torch.uint8)
            pointers = (c_void_p(t.data_ptr()) for t in (h_ND, logits, self.scratch))
            self.library.genloom_step(byref(network), byref(c_cache), byref(batch), *pointers, threads)

    def _build_network_struct(self) -> CNetwork:
        c = self.config
        mlp_width = self.layers[0].down.columns
        return CNetwork(
            c.depth, c.width, c.heads, c.key_heads or c.heads, c.K, mlp_width, ACTIVATIONS.index(c.activation),
            self.window, c.norm_eps, self.layers, self.norm, to_c_matrix(self.head),
            self.cos_sin[0].data_ptr(), self.cos_sin[1].data_ptr(),
        )  # fmt: skip

    def _build_layer_struct(self, block: Any, layer_matrices: list[QuantizedMatrix]) -> CLayer:
        matrices = [*map(to_c_matrix, layer_matrices), *[CMatrix()] * (6 - len(layer_matrices))]
        norms = [block.norm_attention, block.norm_mlp, *(block.attention.qk_norms or (None, None))]
        norms += [block.cross_attention and block.cross_attention.norm]
        return CLayer(*matrices, *(None if norm is None else self._pin_vector(norm.weight) for norm in norms))

    def _pin_vector(self, weight: Tensor) -> int:
        tensor = weight.detach().float().contiguous().clone()
        self.pinned_tensors.append(tensor)
        return tensor.data_ptr()


def round_capacity(length: int) -> int:
    """Return how many positions a cache for a text of this length has."""
    return -(-length // CACHE_BLOCK) * CACHE_BLOCK


def count_shared_tokens(cache: QuantizedKVCache, x_L: Tensor) -> int:
    """Return how many tokens at the beginning of x the first row of the cache has read, never the last one."""
    length = min(int(cache.lengths[0]), len(x_L) - 1)
    mismatches = (cache.tokens[0, :length] != x_L[:length]).nonzero()
    return int(mismatches[0]) if len(mismatches) else length


def quantize_linear(linear: Any, bits: int) -> QuantizedMatrix:
    weight, bias = linear.weight, getattr(linear, "bias", None)
    return quantize_matrix(weight.detach(), bits, None if bias is None else bias.detach())


def to_c_matrix(m: QuantizedMatrix) -> CMatrix:
    bias = 0 if m.bias is None else m.bias.data_ptr()
    return CMatrix(m.padded_rows, m.columns, m.bits, m.quants.data_ptr(), m.scales.data_ptr(), bias)
