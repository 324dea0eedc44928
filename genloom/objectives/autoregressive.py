"""Predict the next token from the previous ones.

Shape letters: B batch, L length, V vocabulary, D width, N positions that count.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genloom.capabilities import (
    LastLogitsNetwork,
    LogitsNetwork,
    OutputHeadNetwork,
    PrefixCachingNetwork,
    TokenConstraint,
    TokenContextReader,
    TruncatingNetwork,
)
from genloom.noise import Noise
from genloom.objectives.checks import check_options, temperature_option
from genloom.objectives.cross_entropy import MIN_FUSED_VOCAB, cross_entropy
from genloom.objectives.prompt_lookup import PromptLookup, predict_tokens
from genloom.objectives.sizes import resize_for_tokens, size_option
from genloom.settings import option
from genloom.types import (
    Batch,
    CausalNetwork,
    Condition,
    ConditionSpec,
    DecodingCache,
    Loss,
    NetworkSpec,
    Parts,
    Phase,
    TokenSpace,
)


@dataclass(frozen=True)
class SamplerInputs:
    """Inputs of a sampler of tokens from its caller, beside the parameters that people set."""

    prompt_ids: tuple[np.ndarray, ...] = ()  # the token ids of each row; an empty row starts with `space.bos`
    suppressed_tokens: tuple[int, ...] = ()  # never generated
    eos_ids: tuple[int, ...] = ()  # tokens that end a row besides `space.eos`
    # B; the caller may set an element to end a row.
    is_finished: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    constraint: TokenConstraint | None = None  # which tokens may follow
    logit_bias: Mapping[int, float] = field(default_factory=dict)  # added to the logits of these tokens
    token_contexts: TokenContextReader | None = None  # for marked noise; None: the ids of the last tokens


@dataclass(frozen=True)
class SamplingParams:
    """Parameters of sampling tokens; the defaults sample from the model's own distribution."""

    max_tokens: int = option(0, "Maximum number of new tokens.", minimum=0, maximum=1_000_000)
    temperature: float = temperature_option()
    top_k: int = option(0, "Number of most likely tokens to sample from; 0 is off.", minimum=0, maximum=10**9)
    top_p: float = option(1.0, "Probability of the nucleus to sample from; 1 is off.", minimum=0, maximum=1)
    min_p: float = option(
        0.0, "Minimum probability, relative to the most likely token; 0 is off.", minimum=0, maximum=1
    )
    repetition_penalty: float = option(
        1.0,
        "Penalty above 1 on tokens that are already in the sequence; 1 is off.",
        minimum=0.01,
        maximum=100,
    )
    presence_penalty: float = option(
        0.0, "Penalty above 0 on tokens that the model has generated; 0 is off.", minimum=-10, maximum=10
    )
    frequency_penalty: float = option(
        0.0, "Penalty above 0 for each time that the model has generated a token; 0 is off.", minimum=-10, maximum=10
    )
    size: tuple[int, ...] = size_option()
    inputs: SamplerInputs = field(default_factory=SamplerInputs)

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class Autoregressive:
    space: TokenSpace
    condition: ConditionSpec = field(default_factory=ConditionSpec)
    z_loss: float = 0.0  # weight of the squared log-partition, which keeps logits small (PaLM, Chowdhery et al. 2022)
    phases = (Phase("model", ("model",)),)
    has_exact_likelihood = True  # the loss is the likelihood itself, not a bound that depends on the noise

    @property
    def network_specs(self) -> dict[str, NetworkSpec]:
        return {"model": NetworkSpec(self.space, self.space, is_causal=True, condition=self.condition)}

    def loss(self, parts: Parts, batch: Batch, phase: Phase, noise: Noise) -> Loss:
        """Compute the negative log-likelihood of each row after its first token, in nats: exact, not a bound.

        In training mode, add the z-loss.
        """
        loss_mask_BL = build_loss_mask(batch)
        network = parts["model"]
        is_fused = self.space.vocab_size >= MIN_FUSED_VOCAB and isinstance(network, OutputHeadNetwork)
        costs_BL, nll_BL = (self.compute_token_losses_chunked if is_fused else self.compute_token_losses)(
            network, batch, loss_mask_BL
        )
        metrics = {"nll": (nll_BL * loss_mask_BL).sum().detach() / loss_mask_BL.sum().clamp(min=1)}
        return Loss((costs_BL * loss_mask_BL).sum(1), loss_mask_BL.sum(1), metrics)

    def compute_token_losses(self, network: nn.Module, batch: Batch, loss_mask_BL: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cost of each prediction and its negative log-likelihood, B L-1."""
        logits_BLV = network(batch.x, cond=batch.cond, lengths=batch.lengths, **build_segment_kwargs(batch))[
            :, :-1
        ].float()
        nll_BL = F.cross_entropy(logits_BLV.flatten(0, 1), batch.x[:, 1:].flatten(), reduction="none").view_as(
            loss_mask_BL
        )
        if not (weight := self.z_loss * network.training):
            return nll_BL, nll_BL
        return nll_BL + weight * logits_BLV.logsumexp(-1).square(), nll_BL

    def compute_token_losses_chunked(
        self, network: nn.Module, batch: Batch, loss_mask_BL: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Do the same for a large vocabulary: never hold all logits at once, and skip masked positions."""
        h_BLD = network(
            batch.x, cond=batch.cond, lengths=batch.lengths, return_logits=False, **build_segment_kwargs(batch)
        )[:, :-1]
        index_N = loss_mask_BL.flatten().nonzero()[:, 0]
        h_ND = h_BLD.flatten(0, 1).index_select(0, index_N)
        weight_VD, softcap = cast(OutputHeadNetwork, network).get_output_head()
        losses = cross_entropy(
            h_ND, weight_VD, batch.x[:, 1:].flatten()[index_N], softcap, self.z_loss * network.training
        )
        costs_BL, nll_BL = (
            loss_mask_BL.new_zeros(loss_mask_BL.numel()).index_put((index_N,), loss_N).view_as(loss_mask_BL)
            for loss_N in losses
        )
        return costs_BL, nll_BL

    @torch.inference_mode()
    def sample(
        self, parts: Parts, count: int, cond: Condition | None, noise: Noise, params: SamplingParams
    ) -> Iterator[Tensor]:
        """Yield the tokens so far, (count, n), without the prompts; a finished row repeats `space.eos`."""
        network, num_tokens = resize_for_tokens(parts["model"], self.space, params.size)
        device = next(network.parameters()).device
        contexts = build_contexts(params.inputs.prompt_ids, count, self.space)
        longest = max(len(c) for c in contexts)
        max_tokens = num_tokens or params.max_tokens or self.space.context_length
        is_finished = params.inputs.is_finished if len(params.inputs.is_finished) else np.zeros(count, dtype=bool)
        eos_ids = torch.tensor([self.space.eos, *params.inputs.eos_ids])
        x_BL = torch.from_numpy(np.stack([np.pad(c, (0, longest - len(c))) for c in contexts])).to(device)
        lengths = torch.tensor([len(c) for c in contexts], device=device)
        logits_BV, cache = read_prompts(network, x_BL, cond, lengths, longest + max_tokens)
        output_ids = torch.empty(count, 0, dtype=torch.long)
        lookup = None
        if count == 1 and isinstance(network, TruncatingNetwork):
            lookup = PromptLookup(network, cache, longest + max_tokens)
        while True:
            token_B = sample_next_tokens(logits_BV, contexts, noise, params)
            token_B[torch.from_numpy(is_finished)] = self.space.eos
            output_ids = torch.cat([output_ids, token_B[:, None]], 1)
            contexts = [np.append(c, s) for c, s in zip(contexts, token_B.tolist(), strict=True)]
            is_finished |= torch.isin(token_B, eos_ids).numpy()
            yield output_ids
            if is_finished.all() or output_ids.shape[1] == max_tokens:
                return
            if lookup is not None:
                logits_BV = lookup.next_logits(contexts[0], partial(predict_tokens, params.inputs.constraint, contexts))
            else:
                logits_BV = network(token_B[:, None].to(device), cond=cond, cache=cache)[:, -1]


def read_prompts(
    network: nn.Module, x_BL: Tensor, cond: Condition | None, lengths_B: Tensor, max_length: int
) -> tuple[Tensor, DecodingCache]:
    """Return the logits after each row's last token, B V, and the cache; equal rows are read once.

    A single row reuses the prefix that it shares with the previous text, as each turn of a conversation does.
    """
    init_cache = cast(CausalNetwork, network).init_cache
    if cond is None and len(x_BL) == 1 and isinstance(network, PrefixCachingNetwork):
        cache = network.reuse_prefix(x_BL[0], max_length)
        num_unread = lengths_B - cache.lengths
        return compute_last_logits(network, x_BL[:, -int(num_unread) :], None, num_unread, cache), cache
    unique_BL, inverse_B = torch.cat([lengths_B[:, None], x_BL], 1).unique(dim=0, return_inverse=True)
    if cond is not None or len(unique_BL) == len(x_BL):
        cache = init_cache(len(x_BL), max_length)
        return compute_last_logits(network, x_BL, cond, lengths_B, cache), cache
    cache = init_cache(len(unique_BL), max_length)
    return compute_last_logits(network, unique_BL[:, 1:], None, unique_BL[:, 0], cache)[inverse_B], cache.select_rows(
        inverse_B
    )


def compute_last_logits(
    network: nn.Module, x_BL: Tensor, cond: Condition | None, lengths_B: Tensor, cache: DecodingCache
) -> Tensor:
    """Return the logits after the last token of each row, B V; compute no others if the network supports it."""
    if cond is None and isinstance(network, LastLogitsNetwork):
        return network.compute_last_logits(x_BL, lengths_B, cache)
    if not isinstance(network, LogitsNetwork):
        logits_BLV = network(x_BL, cond=cond, lengths=lengths_B, cache=cache)
        return logits_BLV[torch.arange(len(x_BL), device=x_BL.device), lengths_B - 1]
    h_BLD = network(x_BL, cond=cond, lengths=lengths_B, cache=cache, return_logits=False)
    last_B1D = h_BLD[torch.arange(len(x_BL), device=x_BL.device), lengths_B - 1][:, None]
    return network.compute_logits(last_B1D)[:, 0]


def build_contexts(prompt_ids: tuple[np.ndarray, ...], count: int, space: TokenSpace) -> list[np.ndarray]:
    """Return the prompt of each row; if it is missing or empty, the BOS token."""
    assert len(prompt_ids) in (0, count), f"{len(prompt_ids)} prompts for {count} rows"
    rows = prompt_ids or (np.zeros(0),) * count
    return [np.asarray(p if len(p) else [space.bos], dtype=np.int64) for p in rows]


def build_loss_mask(batch: Batch) -> Tensor:
    """Return the loss mask of the predictions, B L-1: unpadded positions after the first where the mask is set."""
    loss_mask_BL = torch.ones_like(batch.x[:, 1:], dtype=torch.float32)
    if batch.mask is not None:
        loss_mask_BL = loss_mask_BL * batch.mask[:, 1:]
    if batch.lengths is not None:
        positions = torch.arange(1, batch.x.shape[1], device=batch.x.device)
        loss_mask_BL = loss_mask_BL * (positions < batch.lengths[:, None])
    if batch.segments is not None:  # a document does not predict the first token of the next
        loss_mask_BL = loss_mask_BL * (batch.segments[:, 1:] == batch.segments[:, :-1])
    return loss_mask_BL


def build_segment_kwargs(batch: Batch) -> dict[str, Tensor]:
    """Return the segment ids for the network if rows are packed, else nothing: not every network supports packing."""
    return {} if batch.segments is None else {"segments": batch.segments}


def sample_next_tokens(logits_BV: Tensor, contexts: list[np.ndarray], noise: Noise, params: SamplingParams) -> Tensor:
    """Return the next token of each row, on the CPU: the most likely one, or a sample."""
    processed_BV = process_logits(logits_BV.float(), contexts, params)
    if params.temperature == 0:
        return processed_BV.argmax(1).cpu()
    read = params.inputs.token_contexts
    return noise.sample_tokens(processed_BV, contexts, None if read is None else read(contexts)).cpu()


def process_logits(logits_BV: Tensor, contexts: list[np.ndarray], params: SamplingParams) -> Tensor:
    """Apply the sampling parameters to the logits, in this order; removed tokens get minus infinity.

    Logit bias, repetition penalty (Keskar et al. 2019), presence and frequency penalty, temperature, top-k, top-p
    (Holtzman et al. 2020) and min-p (Nguyen et al. 2024).
    """
    has_penalty = bool(params.repetition_penalty != 1 or params.presence_penalty or params.frequency_penalty)
    if params.inputs.suppressed_tokens or params.inputs.logit_bias or has_penalty:
        logits_BV = logits_BV.clone()
    if params.inputs.logit_bias:
        logits_BV[:, list(params.inputs.logit_bias)] += torch.tensor([*params.inputs.logit_bias.values()]).to(logits_BV)
    if params.inputs.suppressed_tokens:
        logits_BV[:, list(params.inputs.suppressed_tokens)] = float("-inf")
    if params.inputs.constraint is not None:
        allowed_BV = torch.from_numpy(params.inputs.constraint(contexts)).to(logits_BV.device)
        logits_BV = logits_BV.masked_fill(~allowed_BV, float("-inf"))
    if params.repetition_penalty != 1:
        for row, context in zip(logits_BV, contexts, strict=True):
            # Exempt the first token, which is BOS and, in our codecs, also EOS, and the tokens that end each turn of a
            # conversation.
            seen_ids = torch.from_numpy(np.setdiff1d(context[1:], params.inputs.eos_ids)).to(row.device)
            row[seen_ids] = torch.where(
                row[seen_ids] > 0, row[seen_ids] / params.repetition_penalty, row[seen_ids] * params.repetition_penalty
            )
    if params.presence_penalty or params.frequency_penalty:
        prompt_lengths = [max(len(p), 1) for p in params.inputs.prompt_ids] or [1] * len(contexts)
        for row, context, prompt_length in zip(logits_BV, contexts, prompt_lengths, strict=True):
            generated_ids, counts = np.unique(context[prompt_length:], return_counts=True)
            penalties = params.presence_penalty + params.frequency_penalty * counts
            row[torch.from_numpy(generated_ids).to(row.device)] -= torch.from_numpy(penalties).to(row)
    if params.temperature == 0:
        return logits_BV  # the steps below keep the most likely token, which is chosen
    if params.temperature != 1:
        logits_BV = logits_BV / params.temperature
    removal_masks = []
    if 0 < params.top_k < logits_BV.shape[1]:
        removal_masks.append(logits_BV < logits_BV.topk(params.top_k, 1).values[:, -1:])
    if params.top_p < 1:
        removal_masks.append(
            mask_outside_top_p(
                logits_BV.masked_fill(removal_masks[0], float("-inf")) if removal_masks else logits_BV, params.top_p
            )
        )
    if params.min_p > 0:
        probs_BV = logits_BV.softmax(1)
        removal_masks.append(probs_BV < params.min_p * probs_BV.amax(1, keepdim=True))
    for removal_mask in removal_masks:
        logits_BV = logits_BV.masked_fill(removal_mask, float("-inf"))
    return logits_BV


def mask_outside_top_p(logits_BV: Tensor, top_p: float) -> Tensor:
    """Return True for the tokens outside of the nucleus of probability `top_p`, B V; never for the most likely token.

    Rank only the most likely tokens, and more if they do not reach `top_p`: sorting thousands is slow.
    """
    probs_BV, num_ranked = logits_BV.softmax(1), 64
    while True:
        top_probs, order = probs_BV.topk(min(num_ranked, probs_BV.shape[1]), 1)
        prior_mass = top_probs.cumsum(1) - top_probs
        if num_ranked >= probs_BV.shape[1] or bool((prior_mass[:, -1] >= top_p).all()):
            break
        num_ranked *= 8
    is_inside = prior_mass < top_p
    is_inside[:, 0] = True
    return torch.ones_like(probs_BV, dtype=torch.bool).scatter(1, order, ~is_inside)
