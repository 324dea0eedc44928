"""The same weights under two names: Hugging Face's separate matrices and this network's fused ones.

Shape letters: D width, V vocabulary, N rows of a matrix.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from genloom.exchange.architectures import Shape, hidden_of

Load = Callable[[], Tensor]

# Tables that follow from the config, and are stored by some writers all the same.
_DERIVED = re.compile(r"(.*\.)?(rotary_emb\.inv_freq|attn\.bias|attn\.masked_bias)")


@dataclass(frozen=True)
class Entry:
    """One tensor here, and the tensors elsewhere that stand above each other in it, with the rows of each."""

    here: str
    there: tuple[tuple[str, int], ...]
    columns: int  # 0: a vector
    turned: bool = False  # GPT-2 keeps its matrices the other way round

    @property
    def shape(self) -> tuple[int, ...]:
        rows = sum(n for _, n in self.there)
        return (rows, self.columns) if self.columns else (rows,)


def entries(shape: Shape) -> Iterator[Entry]:
    """Every tensor of the network, once."""
    return _gpt2(shape) if shape.architecture == "GPT2LMHeadModel" else _llama(shape)


def _llama(shape: Shape) -> Iterator[Entry]:
    c, D, F = shape.network, shape.network.width, hidden_of(shape.network)
    q, k = c.heads * c.K, (c.key_heads or c.heads) * c.K
    yield Entry("enter.embed.weight", (("model.embed_tokens.weight", shape.vocab),), D)
    for i in range(c.depth):
        here, there = f"blocks.{i}", f"model.layers.{i}"
        split = [(f"{there}.self_attn.{n}_proj", rows) for n, rows in (("q", q), ("k", k), ("v", k))]
        yield Entry(f"{here}.norm_attention.weight", ((f"{there}.input_layernorm.weight", D),), 0)
        yield Entry(f"{here}.attention.qkv.weight", tuple((f"{n}.weight", rows) for n, rows in split), D)
        if c.bias:
            yield Entry(f"{here}.attention.qkv.bias", tuple((f"{n}.bias", rows) for n, rows in split), 0)
        if c.qk_norm:
            for n, which in enumerate("qk"):
                yield Entry(f"{here}.attention.norms.{n}.weight", ((f"{there}.self_attn.{which}_norm.weight", c.K),), 0)
        yield Entry(f"{here}.attention.out.weight", ((f"{there}.self_attn.o_proj.weight", D),), q)
        yield Entry(f"{here}.norm_mlp.weight", ((f"{there}.post_attention_layernorm.weight", D),), 0)
        gate_up = ((f"{there}.mlp.gate_proj.weight", F), (f"{there}.mlp.up_proj.weight", F))
        yield Entry(f"{here}.mlp.up.weight", gate_up, D)
        yield Entry(f"{here}.mlp.down.weight", ((f"{there}.mlp.down_proj.weight", D),), F)
    yield Entry("norm.weight", (("model.norm.weight", D),), 0)
    if not c.tied:
        yield Entry("head.weight", (("lm_head.weight", shape.vocab),), D)


def _gpt2(shape: Shape) -> Iterator[Entry]:
    c, D, F = shape.network, shape.network.width, hidden_of(shape.network)
    yield Entry("enter.embed.weight", (("transformer.wte.weight", shape.vocab),), D)
    yield Entry("places.weight", (("transformer.wpe.weight", shape.length),), D)
    for i in range(c.depth):
        here, there = f"blocks.{i}", f"transformer.h.{i}"
        linear = (
            ("attention.qkv", "attn.c_attn", 3 * D, D), ("attention.out", "attn.c_proj", D, D),
            ("mlp.up", "mlp.c_fc", F, D), ("mlp.down", "mlp.c_proj", D, F),
        )  # fmt: skip
        for mine, other, rows, columns in linear:
            yield Entry(f"{here}.{mine}.weight", ((f"{there}.{other}.weight", rows),), columns, turned=True)
            yield Entry(f"{here}.{mine}.bias", ((f"{there}.{other}.bias", rows),), 0)
        for mine, other in (("norm_attention", "ln_1"), ("norm_mlp", "ln_2")):
            for kind in ("weight", "bias"):
                yield Entry(f"{here}.{mine}.{kind}", ((f"{there}.{other}.{kind}", D),), 0)
    for kind in ("weight", "bias"):
        yield Entry(f"norm.{kind}", ((f"transformer.ln_f.{kind}", D),), 0)
    if not c.tied:
        yield Entry("head.weight", (("lm_head.weight", shape.vocab),), D)


def to_here(shape: Shape, there: Mapping[str, Load]) -> Iterator[tuple[str, Tensor]]:
    """Each tensor of the network by its name here, in the source's own precision.

    Raises ValueError naming a tensor that is missing, has another shape than the config says, or is not known.
    """
    wanted = list(entries(shape))
    names = {name for entry in wanted for name, _ in entry.there}
    tied = {"lm_head.weight"} if shape.network.tied else set()
    unknown = sorted(name for name in there if name not in names | tied and not _DERIVED.fullmatch(name))
    if unknown:
        raise ValueError(f"it holds the tensor {unknown[0]!r}, which its architecture does not have")
    if missing := sorted(names - set(there)):
        raise ValueError(f"the tensor {missing[0]!r} is missing")
    for entry in wanted:
        yield entry.here, torch.cat([_checked(entry, name, rows, there[name]()) for name, rows in entry.there])


def _checked(entry: Entry, name: str, rows: int, tensor: Tensor) -> Tensor:
    tensor = tensor.T if entry.turned and tensor.ndim == 2 else tensor
    if tuple(tensor.shape) != (rows, *entry.shape[1:]):
        raise ValueError(f"the tensor {name!r} has the shape {tuple(tensor.shape)}, not {(rows, *entry.shape[1:])}")
    return tensor


def to_there(shape: Shape, here: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Each tensor by its name elsewhere."""
    for entry in entries(shape):
        split = here[entry.here].split([rows for _, rows in entry.there])
        for (name, _), tensor in zip(entry.there, split, strict=True):
            yield name, (tensor.T if entry.turned else tensor).contiguous()
