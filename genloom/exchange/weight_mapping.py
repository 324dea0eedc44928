"""The mapping between Hugging Face's separate matrices and this network's fused ones.

Shape letters: D width, V vocabulary, N rows of a matrix.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from genloom.errors import GenloomError
from genloom.exchange.architectures import ArchitectureSpec

TensorLoader = Callable[[], Tensor]
_FLOAT_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

# Tables that follow from the config, but that some writers store.
_DERIVED_PATTERN = re.compile(r"(.*\.)?(rotary_emb\.inv_freq|attn\.bias|attn\.masked_bias)")


@dataclass(frozen=True)
class WeightMapping:
    """A tensor of the network, and Hugging Face's tensors that are stacked in it, with the rows of each."""

    name: str
    hf_slices: tuple[tuple[str, int], ...]
    columns: int  # 0: a vector
    is_transposed: bool = False  # as the matrices of GPT-2

    @property
    def shape(self) -> tuple[int, ...]:
        rows = sum(n for _, n in self.hf_slices)
        return (rows, self.columns) if self.columns else (rows,)


def iter_weight_mappings(spec: ArchitectureSpec) -> Iterator[WeightMapping]:
    """Yield every tensor of the network once."""
    return _iter_gpt2_mappings(spec) if spec.architecture == "GPT2LMHeadModel" else _iter_llama_mappings(spec)


def _iter_llama_mappings(spec: ArchitectureSpec) -> Iterator[WeightMapping]:
    c, D, F = spec.network, spec.network.width, spec.network.hidden_width
    q, k = c.heads * c.K, (c.key_heads or c.heads) * c.K
    yield WeightMapping("embedding.embed.weight", (("model.embed_tokens.weight", spec.vocab_size),), D)
    for i in range(c.depth):
        prefix, hf_prefix = f"blocks.{i}", f"model.layers.{i}"
        qkv_rows = [(f"{hf_prefix}.self_attn.{n}_proj", rows) for n, rows in (("q", q), ("k", k), ("v", k))]
        yield WeightMapping(f"{prefix}.norm_attention.weight", ((f"{hf_prefix}.input_layernorm.weight", D),), 0)
        yield WeightMapping(f"{prefix}.attention.qkv.weight", tuple((f"{n}.weight", rows) for n, rows in qkv_rows), D)
        if c.bias:
            yield WeightMapping(f"{prefix}.attention.qkv.bias", tuple((f"{n}.bias", rows) for n, rows in qkv_rows), 0)
        if c.qk_norm:
            for n, which in enumerate("qk"):
                yield WeightMapping(
                    f"{prefix}.attention.qk_norms.{n}.weight", ((f"{hf_prefix}.self_attn.{which}_norm.weight", c.K),), 0
                )
        yield WeightMapping(f"{prefix}.attention.out.weight", ((f"{hf_prefix}.self_attn.o_proj.weight", D),), q)
        yield WeightMapping(f"{prefix}.norm_mlp.weight", ((f"{hf_prefix}.post_attention_layernorm.weight", D),), 0)
        if c.bias in ("attention", "all"):
            yield WeightMapping(f"{prefix}.attention.out.bias", ((f"{hf_prefix}.self_attn.o_proj.bias", D),), 0)
        for kind, *columns in (("weight", D, F), *((("bias", 0, 0),) if c.bias == "all" else ())):
            gate_up = tuple((f"{hf_prefix}.mlp.{part}_proj.{kind}", F) for part in ("gate", "up"))
            yield WeightMapping(f"{prefix}.mlp.up.{kind}", gate_up, columns[0])
            yield WeightMapping(f"{prefix}.mlp.down.{kind}", ((f"{hf_prefix}.mlp.down_proj.{kind}", D),), columns[1])
    yield WeightMapping("norm.weight", (("model.norm.weight", D),), 0)
    if not c.tie_embeddings:
        yield WeightMapping("head.weight", (("lm_head.weight", spec.vocab_size),), D)


def _iter_gpt2_mappings(spec: ArchitectureSpec) -> Iterator[WeightMapping]:
    c, D, F = spec.network, spec.network.width, spec.network.hidden_width
    yield WeightMapping("embedding.embed.weight", (("transformer.wte.weight", spec.vocab_size),), D)
    yield WeightMapping("pos_embed.weight", (("transformer.wpe.weight", spec.context_length),), D)
    for i in range(c.depth):
        prefix, hf_prefix = f"blocks.{i}", f"transformer.h.{i}"
        linear = (
            ("attention.qkv", "attn.c_attn", 3 * D, D), ("attention.out", "attn.c_proj", D, D),
            ("mlp.up", "mlp.c_fc", F, D), ("mlp.down", "mlp.c_proj", D, F),
        )  # fmt: skip
        for part, hf_part, rows, columns in linear:
            yield WeightMapping(
                f"{prefix}.{part}.weight", ((f"{hf_prefix}.{hf_part}.weight", rows),), columns, is_transposed=True
            )
            yield WeightMapping(f"{prefix}.{part}.bias", ((f"{hf_prefix}.{hf_part}.bias", rows),), 0)
        for part, hf_part in (("norm_attention", "ln_1"), ("norm_mlp", "ln_2")):
            for kind in ("weight", "bias"):
                yield WeightMapping(f"{prefix}.{part}.{kind}", ((f"{hf_prefix}.{hf_part}.{kind}", D),), 0)
    for kind in ("weight", "bias"):
        yield WeightMapping(f"norm.{kind}", ((f"transformer.ln_f.{kind}", D),), 0)
    if not c.tie_embeddings:
        yield WeightMapping("head.weight", (("lm_head.weight", spec.vocab_size),), D)


def convert_from_hf(spec: ArchitectureSpec, hf_loaders: Mapping[str, TensorLoader]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of the network with their names, in the source's precision.

    Raises GenloomError for a tensor that is missing, unknown, or of another shape than the config requires.
    """
    mappings = list(iter_weight_mappings(spec))
    names = {name for mapping in mappings for name, _ in mapping.hf_slices}
    tied_names = {"lm_head.weight"} if spec.network.tie_embeddings else set()
    unknown = sorted(
        name for name in hf_loaders if name not in names | tied_names and not _DERIVED_PATTERN.fullmatch(name)
    )
    if unknown:
        raise GenloomError("exchange.unknown_tensor", tensor=unknown[0])
    if missing := sorted(names - set(hf_loaders)):
        raise GenloomError("exchange.missing_tensor", tensor=missing[0])
    if tied_names & set(hf_loaders):
        embed_name = mappings[0].hf_slices[0][0]
        head, embedding = hf_loaders["lm_head.weight"](), hf_loaders[embed_name]()
        if head.shape != embedding.shape or not torch.equal(head.float(), embedding.float()):
            raise GenloomError("exchange.head_differs", embedding=embed_name)
    for mapping in mappings:
        yield (
            mapping.name,
            torch.cat([_check_tensor(mapping, name, rows, hf_loaders[name]()) for name, rows in mapping.hf_slices]),
        )


def _check_tensor(mapping: WeightMapping, name: str, rows: int, tensor: Tensor) -> Tensor:
    if tensor.dtype not in _FLOAT_TYPES:
        raise GenloomError("exchange.tensor_type", tensor=name, dtype=str(tensor.dtype).removeprefix("torch."))
    tensor = tensor.T if mapping.is_transposed and tensor.ndim == 2 else tensor
    expected = (rows, *mapping.shape[1:])
    if tuple(tensor.shape) != expected:
        raise GenloomError("exchange.tensor_shape", tensor=name, shape=tuple(tensor.shape), expected=expected)
    return tensor


def convert_to_hf(spec: ArchitectureSpec, state_dict: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors with Hugging Face's names."""
    for mapping in iter_weight_mappings(spec):
        pieces = state_dict[mapping.name].split([rows for _, rows in mapping.hf_slices])
        for (name, _), tensor in zip(mapping.hf_slices, pieces, strict=True):
            yield name, (tensor.T if mapping.is_transposed else tensor).contiguous()
