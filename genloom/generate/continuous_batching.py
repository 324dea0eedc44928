"""Continuous batching: sequences of several users in one batch, which join and leave it between steps.

Yu et al. 2022, "Orca: a distributed serving system for transformer-based generative models".

Shape letters: B rows, L length, V vocabulary.
"""

from dataclasses import dataclass, field
from typing import Protocol, cast

import numpy as np
import torch
from torch import nn

from genloom.errors import GenloomError
from genloom.noise import Noise
from genloom.objectives.autoregressive import SamplingParams, compute_last_logits, sample_next_tokens
from genloom.types import CausalNetwork, DecodingCache, TokenSpace


class BatchSlots(DecodingCache, Protocol):
    """A cache whose rows can be reset for new sequences."""

    def reset_row(self, row: int) -> None: ...


@dataclass
class RunningSequence:
    """One user's sequence: all tokens so far, those that the network has not read yet, and those generated."""

    nonce: int
    params: SamplingParams
    token_ids: np.ndarray
    pending_ids: np.ndarray
    generated_ids: list[int] = field(default_factory=list)


class ContinuousBatch:
    """A batch of `num_slots` for sequences of at most `max_length` tokens; company does not change a sequence."""

    def __init__(self, network: nn.Module, space: TokenSpace, key: int, num_slots: int, max_length: int):
        self.network, self.space, self.key, self.max_length = network, space, key, max_length
        self.sequences: list[RunningSequence | None] = [None] * num_slots
        with torch.inference_mode():
            self.cache = cast(BatchSlots, cast(CausalNetwork, network).init_cache(num_slots, max_length))

    @property
    def num_free(self) -> int:
        """The number of sequences that can still join."""
        return self.sequences.count(None)

    @torch.inference_mode()
    def add_sequence(self, prompt: np.ndarray, nonce: int, params: SamplingParams) -> int:
        """Add a sequence that continues `prompt`, of at least one token, and return its row.

        `prompt_ids` and `is_finished` in `params.inputs` are ignored. Raises ValueError if no slot is free, or the
        sequence can get too long.
        """
        if not self.num_free:
            raise GenloomError("generate.no_free_slot", num_slots=len(self.sequences))
        if not len(prompt) or len(prompt) + params.max_tokens > self.max_length:
            raise GenloomError(
                "generate.sequence_too_long",
                prompt_tokens=len(prompt),
                max_tokens=params.max_tokens,
                max_length=self.max_length,
            )
        row = self.sequences.index(None)
        token_ids = np.asarray(prompt, dtype=np.int64)
        self.sequences[row] = RunningSequence(nonce, params, token_ids, pending_ids=token_ids)
        self.cache.reset_row(row)
        return row

    def remove_sequence(self, row: int) -> None:
        """Remove a sequence before its end."""
        self.sequences[row] = None

    @torch.inference_mode()
    def step(self) -> dict[int, int]:
        """Generate the next token of every sequence, by row; read new prompts, and remove sequences that end."""
        active = {row: sequence for row, sequence in enumerate(self.sequences) if sequence is not None}
        if not active:
            return {}
        pending_ids = [
            np.zeros(0, np.int64) if sequence is None else sequence.pending_ids for sequence in self.sequences
        ]
        pad_length = max(map(len, pending_ids))
        x_BL = torch.from_numpy(np.stack([np.pad(ids, (0, pad_length - len(ids))) for ids in pending_ids]))
        lengths = torch.tensor([len(ids) for ids in pending_ids])
        logits_BV = compute_last_logits(self.network, x_BL, None, lengths, self.cache)
        return {row: self._append_token(row, sequence, logits_BV[row : row + 1]) for row, sequence in active.items()}

    def _append_token(self, row: int, sequence: RunningSequence, logits_1V: torch.Tensor) -> int:
        token = int(
            sample_next_tokens(logits_1V, [sequence.token_ids], Noise(self.key, (sequence.nonce,)), sequence.params)
        )
        sequence.pending_ids = np.array([token])
        sequence.token_ids = np.append(sequence.token_ids, token)
        sequence.generated_ids.append(token)
        is_full = (
            len(sequence.generated_ids) == (sequence.params.max_tokens or self.max_length)
            or len(sequence.token_ids) == self.max_length
        )
        if is_full or token in (self.space.eos, *sequence.params.inputs.eos_ids):
            self.remove_sequence(row)
        return token
