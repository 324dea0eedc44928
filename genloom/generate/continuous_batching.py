"""Texts of several users written in one batch, which each joins and leaves between two steps.

Yu et al. 2022, "Orca: a distributed serving system for transformer-based generative models".

Shape letters: B rows, L length, V vocabulary.
"""

from dataclasses import dataclass, field
from typing import Protocol, cast

import numpy as np
import torch
from torch import nn

from genloom.noise import Noise
from genloom.objectives.autoregressive import SamplingParams, compute_last_logits, sample_next_tokens
from genloom.types import CausalNetwork, DecodingCache, TokenSpace


class BatchSlots(DecodingCache, Protocol):
    """A memory of which a row can be given to another text."""

    def reset_row(self, row: int) -> None: ...


@dataclass
class RunningSequence:
    """One user's text: what was read or written so far, and what the network has still to read of it."""

    nonce: int
    params: SamplingParams
    token_ids: np.ndarray
    pending_ids: np.ndarray
    generated_ids: list[int] = field(default_factory=list)


class ContinuousBatch:
    """A batch of `rows` places for texts of up to `room` symbols; each text is what it would be if written alone."""

    def __init__(self, network: nn.Module, space: TokenSpace, key: int, num_slots: int, max_length: int):
        self.network, self.space, self.key, self.max_length = network, space, key, max_length
        self.sequences: list[RunningSequence | None] = [None] * num_slots
        with torch.inference_mode():
            self.cache_folder = cast(BatchSlots, cast(CausalNetwork, network).init_cache(num_slots, max_length))

    @property
    def num_free(self) -> int:
        """How many more texts can join."""
        return self.sequences.count(None)

    @torch.inference_mode()
    def add_sequence(self, prompt: np.ndarray, nonce: int, params: SamplingParams) -> int:
        """Take a place for a text that goes on from `prompt`, one symbol or more; its row.

        Of `controls`, prompts and ended are not looked at. Raises ValueError where there is no place or no room.
        """
        if not self.num_free:
            raise ValueError(f"All {len(self.sequences)} places are taken: wait until a text ends.")
        if not len(prompt) or len(prompt) + params.max_tokens > self.max_length:
            raise ValueError(
                f"A prompt of {len(prompt)} symbols and {params.max_tokens} more do not fit in {self.max_length}. "
                "Give a prompt, and a shorter one or a smaller length."
            )
        row = self.sequences.index(None)
        token_ids = np.asarray(prompt, dtype=np.int64)
        self.sequences[row] = RunningSequence(nonce, params, token_ids, pending_ids=token_ids)
        self.cache_folder.reset_row(row)
        return row

    def remove_sequence(self, row: int) -> None:
        """Give up a text before its end."""
        self.sequences[row] = None

    @torch.inference_mode()
    def step(self) -> dict[int, int]:
        """The next symbol of every text, by row; those that end with it have left. New prompts are read along."""
        active = {row: sequence for row, sequence in enumerate(self.sequences) if sequence is not None}
        if not active:
            return {}
        pending_ids = [
            np.zeros(0, np.int64) if sequence is None else sequence.pending_ids for sequence in self.sequences
        ]
        pad_length = max(map(len, pending_ids))
        x_BL = torch.from_numpy(np.stack([np.pad(ids, (0, pad_length - len(ids))) for ids in pending_ids]))
        lengths = torch.tensor([len(ids) for ids in pending_ids])
        logits_BV = compute_last_logits(self.network, x_BL, None, lengths, self.cache_folder)
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
        if is_full or token in (self.space.eos, *sequence.params.eos_ids):
            self.remove_sequence(row)
        return token
