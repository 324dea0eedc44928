"""Constraint of models that write a scaffold's pieces as given, and freely between them.

Shape letters: B rows, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from genloom.capabilities import TokenConstraint
from genloom.generate.molecule.templates import Closing, Template

MAX_GAP_TOKENS = 20  # of a branch or chain, from where it is closed as soon as it can be


@runtime_checkable
class GapConstraint(Protocol):
    """A constraint that can keep what follows from closing the rings that are open."""

    def mark_gap(self, row: int, is_gap: bool, max_length: int = 0) -> None: ...


@dataclass
class RowState:
    """Where a row is in its template."""

    pieces: list[list[int]]  # the tokens of each piece that is still to be written in full
    closings: tuple[Closing, ...]
    ring_digits: list[frozenset[int]]  # tokens of ring bonds that are open at each gap
    num_chain_atoms: int
    piece: int = 0
    place: int = 0  # of the next token in the piece
    is_gap: bool = False
    depth: int = 0  # open parentheses of the gap
    num_tokens: int = 0  # of the gap
    num_atoms: int = 0
    is_after_bond: bool = False
    open_rings: set[int] = field(default_factory=set)


class SegmentConstraint:
    """A constraint that writes the pieces of a template for each row; between them that of the codec decides."""

    def __init__(
        self, base: TokenConstraint | None, codec: Any, templates: Sequence[Template], starts: Sequence[int]
    ) -> None:
        self.base, self.vocab_size, self.eos = base, codec.space.vocab_size, codec.space.eos
        self.num_read = list(starts)
        texts = [codec.decode([token]).smiles for token in range(self.vocab_size)]
        self.opening = {token for token, text in enumerate(texts) if text == "("}
        self.closing = {token for token, text in enumerate(texts) if text == ")"}
        self.rings = {token for token, text in enumerate(texts) if text.isdigit() or text.startswith("%")}
        self.bonds = {token for token, text in enumerate(texts) if text and text in "-=#:/\\~$"}
        self.double_bonds = self.bonds - {token for token, text in enumerate(texts) if text in ("-", "/", "\\")}
        self.atoms = {token for token, text in enumerate(texts) if text[:1].isalpha() or text[:1] == "["}
        self.rows = [self._build_row(codec, template) for template in templates]

    def _build_row(self, codec: Any, template: Template) -> RowState:
        pieces = [codec.encode_text(piece).tolist() for piece in template.pieces]
        open_rings, ring_digits = set[int](), []
        for piece in pieces:
            for token in piece:
                if token in self.rings:
                    open_rings ^= {token}
            ring_digits.append(frozenset(open_rings))
        state = RowState(pieces, template.closings, ring_digits, template.num_chain_atoms)
        state.place = len(pieces[0])  # which is the prompt
        self._enter_gap(state)
        return state

    def __call__(self, contexts: Sequence[np.ndarray], /) -> np.ndarray:
        for row, context in enumerate(contexts):
            for token in context[self.num_read[row] :].tolist():
                self._advance(self.rows[row], token)
            self.num_read[row] = len(context)
            if isinstance(self.base, GapConstraint):
                state = self.rows[row]
                is_inner = state.is_gap and state.closings[state.piece] != "end"
                self.base.mark_gap(
                    row, state.is_gap, len(context) - state.num_tokens + MAX_GAP_TOKENS if is_inner else 0
                )
        shape = (len(contexts), self.vocab_size)
        allowed_BV = np.ones(shape, bool) if self.base is None else np.array(self.base(contexts))
        for row, state in enumerate(self.rows):
            allowed_BV[row] = self._restrict(state, allowed_BV[row])
        return allowed_BV

    def describe(self) -> list[str]:
        return [""] * len(self.rows)

    def _enter_gap(self, state: RowState) -> None:
        state.is_gap, state.depth, state.num_tokens, state.num_atoms = True, 0, 0, 0
        state.is_after_bond, state.open_rings = False, set()

    def _advance(self, state: RowState, token: int) -> None:
        """Follow a token that was written."""
        if not state.is_gap:
            state.place += 1
        elif token in self.closing and state.depth == 0 and state.closings[state.piece] == "branch":
            self._begin_piece(state, 0)
        elif self._can_end_chain(state) and token == state.pieces[state.piece + 1][0]:
            self._begin_piece(state, 1)
        else:
            state.num_tokens += 1
            state.depth += (token in self.opening) - (token in self.closing)
            state.num_atoms += token in self.atoms
            state.is_after_bond = token in self.bonds
            if token in self.rings:
                state.open_rings ^= {token}
        if not state.is_gap and state.place >= len(state.pieces[state.piece]) and state.piece < len(state.closings):
            self._enter_gap(state)

    def _begin_piece(self, state: RowState, place: int) -> None:
        state.is_gap, state.piece, state.place = False, state.piece + 1, place

    def _can_end_chain(self, state: RowState) -> bool:
        is_whole = not state.open_rings and state.depth == 0
        is_chain = state.closings[state.piece] == "chain"
        return is_chain and is_whole and state.num_atoms >= state.num_chain_atoms and not state.is_after_bond

    def _restrict(self, state: RowState, allowed_V: np.ndarray) -> np.ndarray:
        """Return which tokens may follow; those of a piece are given."""
        if not state.is_gap:
            piece = state.pieces[state.piece]
            return self._only([piece[state.place]] if state.place < len(piece) else [self.eos])
        closing, allowed_V = state.closings[state.piece], allowed_V.copy()
        allowed_V[list(state.ring_digits[state.piece])] = False
        if closing == "end":
            allowed_V[self.eos] &= state.num_atoms > 0
            return allowed_V if allowed_V.any() else self._only([self.eos])
        allowed_V[self.eos] = False
        is_whole = not state.open_rings and state.depth == 0
        if state.num_tokens == 0 and not state.is_after_bond:
            allowed_V[list(self.double_bonds)] = False  # an attachment point is at a single bond
        if self._can_end_chain(state) and allowed_V[first := state.pieces[state.piece + 1][0]]:
            return self._only([first])
        if closing == "branch" and state.depth == 0:
            can_close = is_whole and state.num_atoms > 0 and not state.is_after_bond
            if not can_close:
                allowed_V[list(self.closing)] = False
            elif allowed_V[list(self.closing)].all() and state.num_tokens >= MAX_GAP_TOKENS:
                return self._only(self.closing)
        if closing == "chain" and state.depth == 0:
            allowed_V[list(self.closing)] = False
        return allowed_V if allowed_V.any() else self._only(self.closing)

    def _only(self, tokens: Any) -> np.ndarray:
        allowed_V = np.zeros(self.vocab_size, bool)
        allowed_V[list(tokens)] = True
        return allowed_V
