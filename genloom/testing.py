"""Contracts every part keeps, to call in tests of one's own codec, network or objective; each failure says what broke.

Shape letters: B batch, L length.
"""

import sys
import tempfile
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from genloom.noise import Noise, training_noise
from genloom.types import (
    Attempts,
    Batch,
    CausalNetwork,
    Codec,
    Cond,
    Condition,
    Objective,
    Opinions,
    Pairs,
    Parts,
    Role,
    Space,
    Tokens,
)

Network = TypeVar("Network", bound=nn.Module)
CLOSE = 2e-4  # float32 sums in another order differ by less


def check_codec(codec: Codec, values: Iterable[Any], alike: Callable[[Any, Any], bool] | None = None) -> None:
    """Values come back from their encoding; symbols lie in the space; a saved codec is the same codec.

    Symbols must give back the value itself; signals, which may round, what encodes to the same numbers. For a codec
    that loses more, `alike(value, back)` says whether what comes back is near enough.
    """
    values = list(values)
    assert values, "check_codec needs values to try"
    space, encoded = codec.space, [np.asarray(codec.encode(value)) for value in values]
    for value, x in zip(values, encoded, strict=True):
        if isinstance(space, Tokens):
            assert x.ndim == 1, f"encode must give one row of symbols, and gave shape {x.shape} for {value!r:.80}"
            assert x.dtype.kind in "iu", f"symbols must be integers, and are {x.dtype}"
            inside = x.size == 0 or (int(x.min()) >= 0 and int(x.max()) < space.vocab)
            assert inside, f"symbols of {value!r:.80} lie outside the vocabulary of {space.vocab}"
        else:
            assert x.shape == (space.channels, *space.size), f"encode gave shape {x.shape}, and the space is {space}"
        back = codec.decode(x)
        if alike is not None or isinstance(space, Tokens):
            near = back == value if alike is None else alike(value, back)
            assert near, f"decode(encode(x)) is {back!r:.80}, and x is {value!r:.80}"
        else:
            agree(codec.encode(back), x, "what decode gives must encode to the same numbers")
    for x, again in zip(encoded, codec.encode_many(values), strict=True):
        assert np.array_equal(x, again), "encode_many must give what encode gives, in the same order"
    with tempfile.TemporaryDirectory() as folder:
        codec.save(Path(folder))
        loaded = cast(Any, type(codec)).load(Path(folder))
    assert loaded.space == space, f"a saved codec came back with {loaded.space} in place of {space}"
    for value, x in zip(values, encoded, strict=True):
        assert np.array_equal(loaded.encode(value), x), f"a saved codec encodes {value!r:.80} in another way"


def check_network(network: nn.Module, role: Role) -> None:
    """A network gives what its role asks for, row by row, blind to padding, and, if causal, to what comes later.

    Reading in pieces through the cache must equal reading at once. A copy with changed weights is checked, since layers
    that start at zero would hide what they will do.
    """
    network = stirred(network).eval().requires_grad_(False)
    x, t, cond = example(role, rows=4)
    out = network(x, t, cond=cond)
    assert out.shape == shape_of(role.gives, x), f"the role gives {role.gives}, and the output has shape {out.shape}"
    assert out.isfinite().all(), "the output is not finite"
    for i in range(len(x)):
        one = slice(i, i + 1)
        alone = network(x[one], None if t is None else t[one], cond=cond.rows(one))
        agree(alone, out[one], "a row read alone must give what it gives in a batch")
    check_conditions(network, role, x, t, cond)
    if isinstance(role.takes, Tokens):
        check_padding(network, role, x, t, cond)
        if role.causal and isinstance(role.gives, Tokens):
            check_causal(network, x, t, cond)
            check_pieces(network, x, cond)


def check_conditions(network: nn.Module, role: Role, x: Tensor, t: Tensor | None, cond: Condition) -> None:
    """Each condition of the role changes the output; switched off, it is the same as none."""
    out, nothing = network(x, t, cond=cond), network(x, t)
    off = cond.keep(torch.zeros(len(x), dtype=torch.bool))
    agree(network(x, t, cond=off), nothing, "a condition with every row switched off must equal no condition")
    for name in ("tokens", "vector", "field"):
        if getattr(role.cond, name):
            without = replace(cond, **{name: None})
            assert not torch.allclose(network(x, t, cond=without), out, atol=CLOSE), f"cond.{name} changes nothing"


def check_padding(network: nn.Module, role: Role, x: Tensor, t: Tensor | None, cond: Condition) -> None:
    """What stands right of a row's real symbols, and how much of it, changes nothing."""
    B, L = x.shape
    lengths = L - 1 - torch.arange(B) % (L - 1)
    narrow = network(x[:, :-1], t, cond=cond, lengths=lengths)
    real = torch.arange(L) < lengths[:, None]
    wide = network(torch.where(real, x, x.flip(1)), t, cond=cond, lengths=lengths)
    if isinstance(role.gives, Tokens):
        narrow, wide = narrow[real[:, :-1]], wide[real]
    agree(wide, narrow, "padding on the right must change nothing")


def check_causal(network: nn.Module, x: Tensor, t: Tensor | None, cond: Condition) -> None:
    """Changing a symbol changes no output before it."""
    out = network(x, t, cond=cond)
    for i in range(1, x.shape[1]):
        changed = x.clone()
        changed[:, i:] = x[:, i:].flip(0)
        agree(network(changed, t, cond=cond)[:, :i], out[:, :i], f"the symbol at {i} changes outputs before it")


def check_pieces(network: nn.Module, x: Tensor, cond: Condition) -> None:
    """Reading in pieces through the cache, rows of different lengths among them, equals reading at once."""
    B, L = x.shape
    full, reader = network(x, cond=cond), cast(CausalNetwork, network)
    cache, out, first = reader.start(B, L), [], 0
    for size in (1, 3, 2, L):
        out.append(reader(x[:, first : first + size], cond=cond, cache=cache) if first < L else full[:, :0])
        first += size
    agree(torch.cat(out, 1), full, "reading in pieces must equal reading at once")
    assert cache.lengths.tolist() == [L] * B, f"after {L} symbols the cache counts {cache.lengths.tolist()}"

    lengths = torch.arange(B) % (L - 1) + 1
    cache = reader.start(B, L)
    ragged = reader(x[:, : int(lengths.max())], cond=cond, lengths=lengths, cache=cache)
    last = torch.arange(B), lengths - 1
    agree(ragged[last], full[last], "rows of different lengths must be read as if alone")
    order = torch.arange(B).flip(0)
    cache, x, full, lengths, cond = cache.rows(order), x[order], full[order], lengths[order], cond.rows(order)
    while (lengths < L).any():
        more = (lengths < L).long()  # a row that is done reads nothing more
        at = torch.arange(B), lengths.clamp(max=L - 1)
        out_BV = reader(x[at][:, None], cond=cond, lengths=more, cache=cache)[:, 0]
        agree(out_BV[more.bool()], full[at][more.bool()], "a cache whose rows were re-ordered must read on the same")
        lengths = lengths + more


def check_objective(
    objective: Objective[Any], parts: Parts, batch: Batch | Pairs | Opinions | Attempts, controls: Any = None
) -> None:
    """Losses are one number a row, finite, a function of the noise and of the row alone; samples likewise.

    `controls` are the sampler's; by default `Controls()` of the objective's module. Every part that a turn trains must
    get a gradient in it.
    """
    parts = {name: stirred(part) for name, part in parts.items()}
    rows, noise = len(batch), training_noise(1, 2, 0, len(batch))
    assert set(parts) == set(objective.roles), f"parts {sorted(parts)} do not fill roles {sorted(objective.roles)}"
    for turn in objective.turns:
        loss = objective.loss(parts, batch, turn, noise)
        assert loss.per_sample.shape == loss.units.shape == (rows,), "a loss is one number a row, units likewise"
        assert loss.per_sample.isfinite().all(), f"the loss of the turn {turn.name!r} is not finite"
        assert (loss.units >= 0).all(), "units count terms, so none is below zero"
        learned = {f"{n}.{k}": p for n in turn.trains for k, p in parts[n].named_parameters()}
        grads = torch.autograd.grad(loss.per_sample.sum(), list(learned.values()), allow_unused=True)
        for name in turn.trains:
            reached = [g for key, g in zip(learned, grads, strict=True) if key.startswith(f"{name}.") and g is not None]
            assert any(bool(g.any()) for g in reached), f"the turn {turn.name!r} gives {name!r} no gradient"
        with torch.no_grad():
            for i in range(rows):
                one = slice(i, i + 1)
                alone = objective.loss(parts, batch.rows(one), turn, noise.rows(one))
                agree(alone.per_sample, loss.per_sample[one], "the loss of a row must not depend on its batch")
                agree(alone.units, loss.units[one], "the units of a row must not depend on its batch")
    batch = batch.win if isinstance(batch, Pairs) else batch
    check_samples(objective, parts, batch if isinstance(batch, Batch) else batch.batch, controls)


def check_samples(objective: Objective[Any], parts: Parts, batch: Batch, controls: Any) -> None:
    """The last draft of a row is a function of its nonce and condition alone."""
    if controls is None:
        base = getattr(objective, "base", objective)  # what wraps an objective samples as that does
        controls = sys.modules[type(base).__module__].__dict__["Controls"]()
    for part in parts.values():
        part.eval()
    rows, noise = len(batch), Noise(7, tuple(range(len(batch))))
    *_, whole = objective.sample(parts, rows, batch.cond, noise, controls)
    assert len(whole) == rows, f"asked for {rows} samples, and got {len(whole)}"
    *_, again = objective.sample(parts, rows, batch.cond, noise, controls)
    assert torch.equal(again, whole), "the same noise must give the same samples"
    for i in range(rows):
        one = slice(i, i + 1)
        cond = None if batch.cond is None else batch.cond.rows(one)
        *_, alone = objective.sample(parts, 1, cond, noise.rows(one), controls)
        n = alone.shape[1]  # a row alone may end sooner
        agree(alone, whole[one, :n], "a sample must not depend on its batch")


def example(role: Role, rows: int, seed: int = 0) -> tuple[Tensor, Tensor | None, Condition]:
    """Input, time and condition as the role asks for them, the same for the same seed."""
    chance = torch.Generator().manual_seed(seed)
    takes, cond = role.takes, role.cond
    if isinstance(takes, Tokens):
        x = torch.randint(takes.vocab, (rows, takes.length), generator=chance)
    else:
        x = torch.randn(rows, takes.channels, *takes.size, generator=chance)
    t = torch.rand(rows, generator=chance) if role.timed else None
    return x, t, conditions(cond, takes, rows, chance)


def conditions(cond: Cond, takes: Space, rows: int, chance: torch.Generator) -> Condition:
    size = () if isinstance(takes, Tokens) else takes.size
    mask = torch.arange(3) < 1 + torch.arange(rows)[:, None] % 3
    return Condition(
        torch.randn(rows, 3, cond.tokens, generator=chance) if cond.tokens else None,
        mask if cond.tokens else None,
        torch.randn(rows, cond.vector, generator=chance) if cond.vector else None,
        torch.randn(rows, cond.field, *size, generator=chance) if cond.field else None,
    )


def stirred(network: Network, by: float = 0.1) -> Network:
    """A copy with every weight moved a little, always in the same way."""
    chance = torch.Generator().manual_seed(0)
    network = deepcopy(network)
    with torch.no_grad():
        for p in network.parameters():
            p += by * torch.randn(p.shape, generator=chance).to(p)
    return network


def shape_of(gives: Space, x: Tensor) -> tuple[int, ...]:
    if isinstance(gives, Tokens):
        return (*x.shape[:2], gives.vocab)
    return (len(x), gives.channels, *gives.size)


def agree(found: Any, wanted: Any, contract: str) -> None:
    found, wanted = torch.as_tensor(found), torch.as_tensor(wanted)
    assert found.shape == wanted.shape, f"{contract}: shapes {tuple(found.shape)} and {tuple(wanted.shape)}"
    gap = (found.double() - wanted.double()).abs().max().item() if found.numel() else 0.0
    assert gap <= CLOSE * max(1.0, wanted.double().abs().max().item() if wanted.numel() else 0.0), (
        f"{contract}: they differ by {gap:.3g}"
    )
