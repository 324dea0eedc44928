"""Continuous batching: sequences of several users in one batch, which join and leave it between steps.

Yu et al. 2022, "Orca: a distributed serving system for transformer-based generative models". Long prompts are read in
pieces beside the tokens of others (Agrawal et al. 2023, "Sarathi").

Only a `JointNetwork` reads several texts in one step, because it gives each the bits that it would get alone, which
replays need. The sequences of another network take turns.

Shape letters: L length, V vocabulary.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from genloom.capabilities import JointNetwork, TruncatingNetwork, unwrap_objective
from genloom.errors import GenloomError
from genloom.generate import engine
from genloom.generate.decode import Draft, TextDecoder
from genloom.model import Model
from genloom.noise import Noise
from genloom.objectives.autoregressive import Autoregressive, SamplingParams, read_prompts, sample_next_tokens
from genloom.objectives.prompt_lookup import PromptLookup, predict_tokens
from genloom.types import TokenSpace, is_open_sequence

MAX_STEP_TOKENS = 256  # read in one step while no text is being written
MAX_STEP_TOKENS_BESIDE = 64  # of prompts, while others write
MAX_PREFIX_BYTES = 256 << 20  # of the caches of finished texts, whose beginnings are reused


@dataclass
class TokenLogprobs:
    """A token, its log-probability before any sampling parameter (none of the first), and the most likely ones."""

    token: int
    logprob: float | None
    top: list[tuple[int, float]] = field(default_factory=list)


@dataclass(eq=False)
class RunningSequence:
    """One text: the tokens so far, how many of them the network has read, and what was written."""

    request: engine.Request
    params: SamplingParams
    noise: Noise
    decoder: TextDecoder
    is_finished: np.ndarray  # (1,); the sampler and the decoder set it
    token_ids: np.ndarray  # prompt and output
    prompt_length: int
    max_tokens: int
    num_logprobs: int | None = None  # most likely tokens to report; None: no log-probabilities
    cache: Any = None
    num_read: int = 0
    num_reused: int = 0  # tokens of the prompt whose cache came from another text
    draft: Draft | None = None
    new_logprobs: list[TokenLogprobs] = field(default_factory=list)  # of the last step
    lookup: PromptLookup | None = None
    error: GenloomError | None = None  # that ended it, e.g. of a grammar without a token that may follow
    is_done: bool = False

    @property
    def num_generated(self) -> int:
        return len(self.token_ids) - self.prompt_length

    @property
    def num_unread(self) -> int:
        return len(self.token_ids) - self.num_read

    @property
    def max_length(self) -> int:
        return self.prompt_length + self.max_tokens


def can_batch(model: Model, request: engine.Request) -> bool:
    """Return whether the request's rows can be sequences of a batch: text from left to right without other inputs."""
    return (
        isinstance(unwrap_objective(model.objective), Autoregressive)
        and is_open_sequence(model.codec.space)
        and request.edit is None
        and request.interpolation is None
        and not model.conditioners
    )


class ContinuousBatch:
    """The sequences of one model that are being written; company does not change a sequence."""

    def __init__(self, model: Model):
        self.model, self.sequences = model, list[RunningSequence]()
        self.network: nn.Module = model.parts["model"]
        self.space = cast(TokenSpace, model.codec.space)
        self.finished_caches: list[Any] = []  # oldest first

    @torch.inference_mode()
    def add_sequence(self, request: engine.Request, num_logprobs: int | None = None) -> RunningSequence:
        """Add the one row of a request. Raise GenloomError for a request that the model does not support."""
        params, is_finished, prompts = engine.prepare_sampling(self.model, request)
        codec, (prompt_ids,) = self.model.codec, params.inputs.prompt_ids
        token_ids = np.asarray(prompt_ids if len(prompt_ids) else [self.space.bos], dtype=np.int64)
        decoder = TextDecoder(
            codec, prompts, request.stop, request.eos_ids, is_finished, True, stop_loops=request.stop_loops
        )
        sequence = RunningSequence(
            request,
            params,
            engine.build_noise(request),
            decoder,
            is_finished,
            token_ids,
            len(token_ids),
            params.max_tokens or self.model.design.context_length,
            num_logprobs,
        )
        if isinstance(self.network, JointNetwork):
            ids_L = torch.from_numpy(token_ids)
            caches = [*self.finished_caches, *(each.cache for each in self.sequences)]
            sequence.cache = self.network.copy_prefix(caches, ids_L, sequence.max_length)
            sequence.num_read = sequence.num_reused = int(sequence.cache.lengths[0])
        self.sequences.append(sequence)
        return sequence

    def remove_sequence(self, sequence: RunningSequence) -> None:
        """Remove a sequence, finished or not; its cache serves later ones with the same beginning."""
        self.sequences.remove(sequence)
        if isinstance(self.network, JointNetwork):
            self.finished_caches.append(sequence.cache)
            while sum(cache.num_bytes for cache in self.finished_caches) > MAX_PREFIX_BYTES:
                self.finished_caches.pop(0)

    def finish(self, sequence: RunningSequence) -> Draft:
        """End a sequence where it is, remove it and return its final draft."""
        self.remove_sequence(sequence)
        sequence.is_done, ids = True, sequence.token_ids[sequence.prompt_length :]
        sequence.draft = sequence.decoder(torch.from_numpy(ids)[None], True)
        return sequence.draft

    @torch.inference_mode()
    def step(self) -> list[RunningSequence]:
        """Read and write one step; return the sequences with new tokens. A finished one (`is_done`) has left."""
        for sequence in self.sequences:
            sequence.new_logprobs = []
        if isinstance(self.network, JointNetwork):
            return self._step_jointly(self.network)
        return [self._append_token(sequence, self._compute_logits(sequence)) for sequence in list(self.sequences)]

    def _step_jointly(self, network: JointNetwork) -> list[RunningSequence]:
        sequence = self.sequences[0] if len(self.sequences) == 1 else None
        if sequence and sequence.num_unread == 1 and isinstance(network, TruncatingNetwork):
            if sequence.lookup is None:
                max_length = min(sequence.max_length, sequence.cache.capacity)
                sequence.lookup = PromptLookup(network, sequence.cache, max_length)
            predict = partial(predict_tokens, sequence.params.inputs.constraint, [sequence.token_ids])
            logits_1V = sequence.lookup.next_logits(sequence.token_ids, predict)
            sequence.num_read = len(sequence.token_ids)
            return [self._append_token(sequence, logits_1V)]
        pieces: list[tuple[RunningSequence, Tensor]] = []
        is_writing = any(each.num_generated for each in self.sequences)
        budget = MAX_STEP_TOKENS_BESIDE if is_writing else MAX_STEP_TOKENS
        for sequence in self.sequences:
            if sequence.lookup is not None:  # it may have read drafted tokens
                cast(TruncatingNetwork, network).truncate(sequence.cache, sequence.num_read)
                sequence.lookup = None
            count = 1 if sequence.num_generated else min(sequence.num_unread, budget)
            if not count:
                continue
            budget -= 0 if sequence.num_generated else count
            piece = sequence.token_ids[sequence.num_read : sequence.num_read + count]
            pieces.append((sequence, torch.from_numpy(piece)))
        if not pieces:
            return []
        logits_BV = network.compute_joint_logits([piece for _, piece in pieces], [each.cache for each, _ in pieces])
        changed = []
        for row, (sequence, piece) in enumerate(pieces):
            sequence.num_read += len(piece)
            if sequence.num_read == len(sequence.token_ids):
                changed.append(self._append_token(sequence, logits_BV[row : row + 1]))
        return changed

    def _compute_logits(self, sequence: RunningSequence) -> Tensor:
        """Return the logits after a sequence whose network reads one text at a time."""
        device = next(self.network.parameters()).device
        if sequence.cache is None:
            ids_L = torch.from_numpy(sequence.token_ids).to(device)
            lengths = torch.tensor([len(ids_L)], device=device)
            logits_1V, sequence.cache = read_prompts(self.network, ids_L[None], None, lengths, sequence.max_length)
            return logits_1V
        last_11 = torch.from_numpy(sequence.token_ids[-1:])[None].to(device)
        return cast(Callable[..., Tensor], self.network)(last_11, cond=None, cache=sequence.cache)[:, -1]

    def _append_token(self, sequence: RunningSequence, logits_1V: Tensor) -> RunningSequence:
        """Choose the next token of a sequence, and end it if it is complete."""
        sequence.num_read = len(sequence.token_ids)
        try:
            token = int(sample_next_tokens(logits_1V, [sequence.token_ids], sequence.noise, sequence.params))
        except GenloomError as error:
            self.remove_sequence(sequence)
            sequence.is_done, sequence.error = True, error
            return sequence
        if sequence.num_logprobs is not None:
            sequence.new_logprobs.append(describe_token(logits_1V[0].float().cpu(), token, sequence.num_logprobs))
        sequence.token_ids = np.append(sequence.token_ids, token)
        if token in (self.space.eos, *sequence.params.inputs.eos_ids):
            sequence.is_finished[0] = True
        generated_1L = torch.from_numpy(sequence.token_ids[sequence.prompt_length :])[None]
        sequence.draft = sequence.decoder(generated_1L, False)
        if sequence.is_finished[0] or sequence.num_generated >= sequence.max_tokens:
            self.finish(sequence)
        return sequence


@torch.inference_mode()
def iter_prompt_logprobs(model: Model, token_ids: np.ndarray, num_top: int) -> Iterator[list[TokenLogprobs]]:
    """Yield the log-probabilities of a text's tokens, piece by piece; the first token has none."""
    network: Any = model.parts["model"]
    ids_L, device = torch.from_numpy(token_ids), next(network.parameters()).device
    cache = network.init_cache(1, len(ids_L))
    yield [TokenLogprobs(int(ids_L[0]), None)]
    for begin in range(0, len(ids_L) - 1, MAX_STEP_TOKENS):
        piece = ids_L[begin : begin + MAX_STEP_TOKENS]
        logits_LV = network(piece[None].to(device), cond=None, cache=cache)[0].float().cpu()
        next_ids = ids_L[begin + 1 : begin + len(piece) + 1].tolist()
        yield [describe_token(logits_V, token, num_top) for logits_V, token in zip(logits_LV, next_ids, strict=False)]


def describe_token(logits_V: Tensor, token: int, num_top: int) -> TokenLogprobs:
    """Return the log-probability of a token and of the most likely ones."""
    logprobs_V = logits_V.log_softmax(0)
    values, tokens = logprobs_V.topk(num_top) if num_top else (torch.zeros(0), torch.zeros(0))
    top = list(zip([int(each) for each in tokens], values.tolist(), strict=True))
    return TokenLogprobs(token, float(logprobs_V[token]), top)
