"""Predict the next symbol from the ones before it.

Shape letters: B batch, L length, V vocabulary, D width, N positions that count.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genloom.noise import Noise
from genloom.objectives.ahead import Ahead, Rewinding
from genloom.objectives.cross_entropy import PAYS_FROM, cross_entropy
from genloom.types import Batch, Cache, CausalNetwork, Cond, Condition, Loss, Parts, Role, Tokens, Turn


@dataclass(frozen=True)
class Controls:
    """How symbols are chosen. Off by default: the model's own distribution."""

    prompts: tuple[np.ndarray, ...] = ()  # a row of symbols each; a row with none starts with `space.start`
    length: int = 0  # symbols to write at most; 0: the space's length
    temperature: float = 1.0  # 0: always the likeliest symbol
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    banned: tuple[int, ...] = ()
    stops: tuple[int, ...] = ()  # symbols that end a row besides `space.stop`
    ended: np.ndarray = field(
        default_factory=lambda: np.zeros(0, dtype=bool)
    )  # B; the caller may end a row by setting it

    def __post_init__(self) -> None:
        ranges = {
            "temperature": (self.temperature == 0 or 1e-3 <= self.temperature <= 1e3, "0, or from 0.001 to 1000"),
            "top_k": (self.top_k >= 0, "0 (off) or more"),
            "top_p": (0 <= self.top_p <= 1, "from 0 to 1 (off)"),
            "min_p": (0 <= self.min_p <= 1, "from 0 (off) to 1"),
            "repetition_penalty": (self.repetition_penalty > 0, "above 0; 1 is off"),
            "length": (self.length >= 0, "0 (as far as the model reads) or more"),
        }
        for name, (holds, wanted) in ranges.items():
            if not holds:
                raise ValueError(f"{name} must be {wanted}, got {getattr(self, name)}.")


class Scoring(Protocol):
    """A network that can be asked for what its logits are made from, with `leaves` off."""

    def scores(self) -> tuple[Tensor, float]:
        """The matrix (V, D) that scores symbols, and the soft bound of the logits; 0: none."""
        ...


class Leaving(Protocol):
    """A network that can make logits of what it gives with `leaves` off."""

    def leave(self, h_BLD: Tensor) -> Tensor: ...


class LastOnly(Protocol):
    """A network that can give the logits after each row's last symbol alone, B V."""

    def last(self, x: Tensor, lengths: Tensor, cache: Cache) -> Tensor: ...


class Resuming(Protocol):
    """A network that keeps what it read last, and gives the same bits for a text whatever the pieces it is read in."""

    def resume(self, x_L: Tensor, length: int) -> Cache:
        """A memory for a row of up to `length` positions that has read some symbols of x already, never the last."""
        ...


@dataclass(frozen=True)
class Autoregressive:
    space: Tokens
    cond: Cond = field(default_factory=Cond)
    z_loss: float = 0.0  # weight of the squared log-partition, which keeps logits small (PaLM, Chowdhery et al. 2022)
    turns = (Turn("model", ("model",)),)
    exact = True  # the loss is the likelihood itself, and no bound that is another one under other noise

    @property
    def roles(self) -> dict[str, Role]:
        return {"model": Role(self.space, self.space, causal=True, cond=self.cond)}

    def loss(self, parts: Parts, batch: Batch, turn: Turn, noise: Noise) -> Loss:
        """Minus log-likelihood of each row after its first symbol, in nats: exact, not a bound.

        While a network is trained, what `z_loss` asks for comes on top.
        """
        counts_BL = counted(batch)
        network = parts["model"]
        fused = self.space.vocab >= PAYS_FROM and hasattr(network, "scores")
        costs_BL, nll_BL = (self.by_chunks if fused else self.at_once)(network, batch, counts_BL)
        metrics = {"nll": (nll_BL * counts_BL).sum().detach() / counts_BL.sum().clamp(min=1)}
        return Loss((costs_BL * counts_BL).sum(1), counts_BL.sum(1), metrics)

    def at_once(self, network: nn.Module, batch: Batch, counts_BL: Tensor) -> tuple[Tensor, Tensor]:
        """What each prediction costs and its negative log-likelihood, B L-1."""
        logits_BLV = network(batch.x, cond=batch.cond, lengths=batch.lengths, **packed(batch))[:, :-1].float()
        nll_BL = F.cross_entropy(logits_BLV.flatten(0, 1), batch.x[:, 1:].flatten(), reduction="none").view_as(
            counts_BL
        )
        if not (weight := self.z_loss * network.training):
            return nll_BL, nll_BL
        return nll_BL + weight * logits_BLV.logsumexp(-1).square(), nll_BL

    def by_chunks(self, network: nn.Module, batch: Batch, counts_BL: Tensor) -> tuple[Tensor, Tensor]:
        """The same for a large vocabulary, of which the logits are never all there; what doesn't count is skipped."""
        h_BLD = network(batch.x, cond=batch.cond, lengths=batch.lengths, leaves=False, **packed(batch))[:, :-1]
        where = counts_BL.flatten().nonzero()[:, 0]
        h_ND = h_BLD.flatten(0, 1).index_select(0, where)
        weight_VD, softcap = cast(Scoring, network).scores()
        found = cross_entropy(h_ND, weight_VD, batch.x[:, 1:].flatten()[where], softcap, self.z_loss * network.training)
        costs_BL, nll_BL = (
            counts_BL.new_zeros(counts_BL.numel()).index_put((where,), f).view_as(counts_BL) for f in found
        )
        return costs_BL, nll_BL

    @torch.inference_mode()
    def sample(
        self, parts: Parts, count: int, cond: Condition | None, noise: Noise, controls: Controls
    ) -> Iterator[Tensor]:
        """Yield the symbols written so far, (count, n), without the prompts; an ended row repeats `space.stop`."""
        device = next(parts["model"].parameters()).device
        contexts = started(controls.prompts, count, self.space)
        longest = max(len(c) for c in contexts)
        room = controls.length or self.space.length
        ended = controls.ended if len(controls.ended) else np.zeros(count, dtype=bool)
        stops = torch.tensor([self.space.stop, *controls.stops])
        x_BL = torch.from_numpy(np.stack([np.pad(c, (0, longest - len(c))) for c in contexts])).to(device)
        lengths = torch.tensor([len(c) for c in contexts], device=device)
        logits_BV, cache = read_prompts(parts["model"], x_BL, cond, lengths, longest + room)
        written = torch.empty(count, 0, dtype=torch.long)
        ahead = None
        if count == 1 and hasattr(parts["model"], "rewind"):
            ahead = Ahead(cast(Rewinding, parts["model"]), cache, longest + room)
        while True:
            chosen_B = symbols(logits_BV, contexts, noise, controls)
            chosen_B[torch.from_numpy(ended)] = self.space.stop
            written = torch.cat([written, chosen_B[:, None]], 1)
            contexts = [np.append(c, s) for c, s in zip(contexts, chosen_B.tolist(), strict=True)]
            ended |= torch.isin(chosen_B, stops).numpy()
            yield written
            if ended.all() or written.shape[1] == room:
                return
            if ahead is not None:
                logits_BV = ahead.after(contexts[0])
            else:
                logits_BV = parts["model"](chosen_B[:, None].to(device), cond=cond, cache=cache)[:, -1]


def read_prompts(
    network: nn.Module, x_BL: Tensor, cond: Condition | None, lengths_B: Tensor, room: int
) -> tuple[Tensor, Cache]:
    """Logits after each row's last symbol, B V, and the memory to go on with; equal rows are read once.

    A single row goes on from what it shares with the text before, as each turn of a conversation does.
    """
    start = cast(CausalNetwork, network).start
    if cond is None and len(x_BL) == 1 and hasattr(network, "resume"):
        cache = cast(Resuming, network).resume(x_BL[0], room)
        left = lengths_B - cache.lengths
        return read_to_end(network, x_BL[:, -int(left) :], None, left, cache), cache
    once, which = torch.cat([lengths_B[:, None], x_BL], 1).unique(dim=0, return_inverse=True)
    if cond is not None or len(once) == len(x_BL):
        cache = start(len(x_BL), room)
        return read_to_end(network, x_BL, cond, lengths_B, cache), cache
    cache = start(len(once), room)
    return read_to_end(network, once[:, 1:], None, once[:, 0], cache)[which], cache.rows(which)


def read_to_end(network: nn.Module, x_BL: Tensor, cond: Condition | None, lengths_B: Tensor, cache: Cache) -> Tensor:
    """Logits after the last symbol of each row, B V; where a network can, no others are computed."""
    if hasattr(network, "last"):
        return cast(LastOnly, network).last(x_BL, lengths_B, cache)
    if not hasattr(network, "leave"):
        logits_BLV = network(x_BL, cond=cond, lengths=lengths_B, cache=cache)
        return logits_BLV[torch.arange(len(x_BL), device=x_BL.device), lengths_B - 1]
    h_BLD = network(x_BL, cond=cond, lengths=lengths_B, cache=cache, leaves=False)
    ends_B1D = h_BLD[torch.arange(len(x_BL), device=x_BL.device), lengths_B - 1][:, None]
    return cast(Leaving, network).leave(ends_B1D)[:, 0]


def started(prompts: tuple[np.ndarray, ...], count: int, space: Tokens) -> list[np.ndarray]:
    """What each row begins with: its prompt, or where that is missing or empty, the symbol that begins a document."""
    assert len(prompts) in (0, count), f"{len(prompts)} prompts for {count} rows"
    rows = prompts or (np.zeros(0),) * count
    return [np.asarray(p if len(p) else [space.start], dtype=np.int64) for p in rows]


def counted(batch: Batch) -> Tensor:
    """Which predictions count, B L-1: real positions after the first, where the batch's mask allows."""
    counts_BL = torch.ones_like(batch.x[:, 1:], dtype=torch.float32)
    if batch.mask is not None:
        counts_BL = counts_BL * batch.mask[:, 1:]
    if batch.lengths is not None:
        positions = torch.arange(1, batch.x.shape[1], device=batch.x.device)
        counts_BL = counts_BL * (positions < batch.lengths[:, None])
    if batch.segments is not None:  # no document says how the next one begins
        counts_BL = counts_BL * (batch.segments[:, 1:] == batch.segments[:, :-1])
    return counts_BL


def packed(batch: Batch) -> dict[str, Tensor]:
    """What tells a network which documents a row holds; most rows hold one, and most networks know of no more."""
    return {} if batch.segments is None else {"segments": batch.segments}


def symbols(logits_BV: Tensor, contexts: list[np.ndarray], noise: Noise, controls: Controls) -> Tensor:
    """The next symbol of each row, on the processor: the likeliest, or drawn, under the controls."""
    narrowed_BV = narrow(logits_BV.float(), contexts, controls)
    return narrowed_BV.argmax(1).cpu() if controls.temperature == 0 else noise.choose(narrowed_BV, contexts).cpu()


def narrow(logits_BV: Tensor, contexts: list[np.ndarray], controls: Controls) -> Tensor:
    """Logits after the controls, in this order; what they cut off is minus infinity.

    Repetition penalty (Keskar et al. 2019), temperature, top-k, top-p (Holtzman et al. 2020) and min-p (Nguyen et al.
    2024).
    """
    if controls.banned or controls.repetition_penalty != 1:
        logits_BV = logits_BV.clone()
    if controls.banned:
        logits_BV[:, list(controls.banned)] = float("-inf")
    if controls.repetition_penalty != 1:
        for row, context in zip(logits_BV, contexts, strict=True):
            # The first symbol begins the text and, in our codecs, ends it too; stops end each turn of a conversation:
            # they must stay as likely as they are.
            seen = torch.from_numpy(np.setdiff1d(context[1:], controls.stops)).to(row.device)
            row[seen] = torch.where(
                row[seen] > 0, row[seen] / controls.repetition_penalty, row[seen] * controls.repetition_penalty
            )
    if controls.temperature not in (0, 1):
        logits_BV = logits_BV / controls.temperature
    cuts = []
    if 0 < controls.top_k < logits_BV.shape[1]:
        cuts.append(logits_BV < logits_BV.topk(controls.top_k, 1).values[:, -1:])
    if controls.top_p < 1:
        cuts.append(beyond(logits_BV.masked_fill(cuts[0], float("-inf")) if cuts else logits_BV, controls.top_p))
    if controls.min_p > 0:
        probs_BV = logits_BV.softmax(1)
        cuts.append(probs_BV < controls.min_p * probs_BV.amax(1, keepdim=True))
    for off in cuts:
        logits_BV = logits_BV.masked_fill(off, float("-inf"))
    return logits_BV


def beyond(logits_BV: Tensor, top_p: float) -> Tensor:
    """What lies outside of the likeliest symbols that make up `top_p`, B V; the likeliest itself never does.

    A few of the likeliest are ranked, and more only where these do not make it up: sorting thousands takes long.
    """
    probs_BV, ranks = logits_BV.softmax(1), 64
    while True:
        ranked, order = probs_BV.topk(min(ranks, probs_BV.shape[1]), 1)
        before = ranked.cumsum(1) - ranked
        if ranks >= probs_BV.shape[1] or bool((before[:, -1] >= top_p).all()):
            break
        ranks *= 8
    inside = before < top_p
    inside[:, 0] = True
    return torch.ones_like(probs_BV, dtype=torch.bool).scatter(1, order, ~inside)
