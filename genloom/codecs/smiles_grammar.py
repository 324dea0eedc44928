"""Which tokens of the codec "smiles" may follow: rings and branches are closed, and atoms keep their valences.

Shape letters: B rows, V vocabulary.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from genloom.codecs.smiles_graph import BOND_ORDERS, AtomKind, Graph, parse_atom
from genloom.codecs.spelled_tokens import END, FIRST_TOKEN, MIDDLE, PREFIX, SUFFIX, Vocabulary

MAX_SHARED = 10  # tokens of a row whose beginning is looked up
SPARE_TOKENS = 4  # before the end of a row it only closes what is open
CARBON, AROMATIC_CARBON, AROMATIC_OXYGEN = "C", "c", "o"
LAST_ATOMS = {1: "F", 2: "O", 3: "N"}  # that have no further bond, by the order of the bond to them


@dataclass
class SmilesState:
    """The position in a row up to which it has been read, and the molecule so far."""

    num_read: int = 1  # BOS
    graph: Graph = field(default_factory=Graph)
    section: int = PREFIX  # PREFIX also of a row without a gap
    suffix: list[str] = field(default_factory=list)  # the tokens after the gap
    floor: int = 0  # branches that stay open throughout the gap
    depth: int = 0  # branches that are open at the end
    reserved: frozenset[str] = frozenset()  # numbers of rings that the gap must not touch
    needed: frozenset[str] = frozenset()  # numbers of rings that begin in the gap and end after it
    max_length: int = 0  # of a gap, from the begin of the row; 0: that of the constraint
    begins_gap: bool = False
    is_gap: bool = False  # whether what follows stands between pieces that are given (`mark_gap`)
    spelled: str = ""  # characters of a token that has none of its own
    is_finished: bool = False

    @property
    def own_rings(self) -> list[str]:
        """The open rings that must be closed."""
        return [number for number in self.graph.rings if number not in self.reserved | self.needed]

    def begin_gap(self) -> None:
        """Keep to what the tokens after the gap say of it: the branches and rings that are open at its end."""
        num_open = self.depth = 0
        for text in self.suffix:
            num_open += (text == "(") - (text == ")")
            self.depth = max(self.depth, -num_open)
        counts = Counter(text for text in self.suffix if is_ring_number(text))
        open_rings = {number for number, count in counts.items() if count % 2}
        self.floor = min(len(self.graph.branches), self.depth)
        self.reserved = frozenset(open_rings & self.graph.rings.keys())
        self.needed = frozenset(open_rings - self.graph.rings.keys())


class SmilesConstraint:
    """The tokens that may follow in each row of a batch; each row is read once, from its first token.

    A row may begin with tokens of a person, and with a task of filling, which ends when its suffix fits. A row of
    `max_length` tokens, BOS included, is complete: towards the end it only closes what is open.
    """

    def __init__(self, vocabulary: Vocabulary, num_rows: int, max_length: int):
        self.texts, self.max_length = vocabulary.texts, max_length or 1 << 30
        self.vocab_size = vocabulary.size
        self.rows = [SmilesState() for _ in range(num_rows)]
        self.shared_starts: dict[bytes, list[int]] = {}  # what may follow the first tokens, which many rows share
        self.ids = {token: FIRST_TOKEN + index for index, token in enumerate(vocabulary.tokens)}
        self.atoms: dict[AtomKind, list[int]] = {}
        for token, number in self.ids.items():
            if kind := parse_atom(token):
                self.atoms.setdefault(kind, []).append(number)
        self.bonds = {token: self.ids[token] for token in BOND_ORDERS if token in self.ids}
        self.ring_numbers = [token for token in map(format_ring_number, range(1, 100)) if token in self.ids]

    def describe(self) -> list[str]:
        """Return "" for each row: the rules are those of every molecule."""
        return [""] * len(self.rows)

    def __call__(self, contexts: Sequence[np.ndarray]) -> np.ndarray:
        """Return which tokens may follow each context, B V; where none makes a valid molecule, END may."""
        allowed = np.zeros((len(contexts), self.vocab_size), bool)
        for row, context in enumerate(contexts):
            state = self.rows[row]
            for token in context[state.num_read :]:
                self.read(state, int(token))
            state.num_read = len(context)
            if state.begins_gap:
                state.begins_gap, state.reserved = False, frozenset(state.graph.rings)
            key = b"" if state.section == MIDDLE or state.is_gap or len(context) > MAX_SHARED else context.tobytes()
            numbers = self.shared_starts.get(key) or self.list_allowed(state) or [END]
            if key:
                self.shared_starts[key] = numbers
            allowed[row, numbers] = True
        return allowed

    def mark_gap(self, row: int, is_gap: bool, max_length: int = 0) -> None:
        """Say whether the next token of a row is of a gap, which keeps the rings open at its begin.

        Near `max_length` tokens of the row, the gap only closes what is open.
        """
        state = self.rows[row]
        state.begins_gap = is_gap and (state.begins_gap or not state.is_gap)
        state.is_gap, state.max_length = is_gap, max_length
        state.reserved = state.reserved if is_gap else frozenset()

    def read(self, state: SmilesState, token: int) -> None:
        """Advance the state by a token."""
        if token == END:
            state.is_finished = True
        elif token in (PREFIX, SUFFIX, MIDDLE):
            state.section = token
            if token == MIDDLE:
                state.begin_gap()
        else:
            text = self.texts[token]
            if token < FIRST_TOKEN:
                state.spelled += text
                text = state.spelled
                if text.startswith("[") and not text.endswith("]"):
                    return
                state.spelled = ""
            if state.section == SUFFIX:
                state.suffix.append(text)
            else:
                state.graph.read(text)

    def list_allowed(self, state: SmilesState) -> list[int]:
        """List the tokens that may follow."""
        if state.is_finished:
            return [END]
        graph = state.graph
        if graph.current < 0:
            return [number for numbers in self.atoms.values() for number in numbers]
        num_open = max(len(graph.branches) - state.depth, 0) + 2 * len(state.own_rings) + 2 * len(state.needed)
        if (state.max_length or self.max_length) - state.num_read <= num_open + SPARE_TOKENS:
            return self.list_closing(state)
        allowed = [*self.list_atoms(state), *self.list_bonds(state), *self.list_rings(state)]
        return allowed + [self.ids[token] for token in "()" if self.can_write(state, token)] + self.list_end(state)

    def list_closing(self, state: SmilesState) -> list[int]:
        """List the tokens with which a molecule is complete soon."""
        closings = [self.ids[")"]] if self.can_write(state, ")") else []
        rings = [self.ids[number] for number in state.own_rings if self.can_close_ring(state, number)]
        others = (*self.list_atoms(state), *self.list_bonds(state), *self.list_rings(state))
        return self.list_end(state) or rings or closings or list(others)

    def list_end(self, state: SmilesState) -> list[int]:
        return [END] if self.can_end(state, state.graph) else []

    def list_atoms(self, state: SmilesState) -> Iterator[int]:
        """Yield the atoms that the current one can be bonded to."""
        graph = state.graph
        if graph.must_open_ring:
            return
        kind, order = graph.kinds[graph.current], BOND_ORDERS[graph.bond]
        if (graph.num_free < order and not kind.is_aromatic) or graph.num_free < 1:
            return
        must_simulate = kind.is_aromatic or kind.is_exact or bool(kind.unusual)
        is_implicit = kind.is_aromatic and not graph.bond
        can_enter = graph.has_open_aromatic_ring if is_implicit else self.find_ring_number(state) is not None
        can_add = {
            token: not must_simulate or graph.copy().read(token) for token in (CARBON, AROMATIC_CARBON, AROMATIC_OXYGEN)
        }
        can_end: bool | None = None
        for other, numbers in self.atoms.items():
            token = CARBON if not other.is_aromatic else AROMATIC_CARBON if other.needs_double else AROMATIC_OXYGEN
            if not can_add[token]:
                continue
            if other.is_aromatic:
                takes_order = order == 1 or (order == 2 and other.needs_double == "always" and not other.is_exact)
                if takes_order and can_enter and (is_implicit or other.capacity > 2):
                    yield from numbers
            elif other.capacity > order:
                yield from numbers
            elif other.capacity == order:
                if can_end is None:
                    after = graph.copy()
                    can_end = after.read(LAST_ATOMS[order]) and self.can_stop(state, after)
                if can_end:
                    yield from numbers

    def can_stop(self, state: SmilesState, graph: Graph) -> bool:
        """Return whether the innermost branch, or the molecule, can end after the current atom."""
        return self.can_close_branch(state, graph) or self.can_end(state, graph)

    def can_close_branch(self, state: SmilesState, graph: Graph) -> bool:
        if len(graph.branches) <= state.floor:
            return False
        first, kept = graph.first_inside, state.reserved | state.needed
        is_open = any(number not in kept and atom >= first for number, (atom, _) in graph.rings.items())
        return not is_open and graph.copy().read(")")

    def can_end(self, state: SmilesState, graph: Graph) -> bool:
        if len(graph.branches) != state.depth or graph.rings.keys() != state.reserved | state.needed:
            return False
        after = graph.copy()
        return all(map(after.read, state.suffix)) and after.finish()

    def find_ring_number(self, state: SmilesState) -> str | None:
        """Return the lowest number that a new ring can have."""
        used = (*state.graph.rings, *state.graph.closed_here, *state.reserved, *state.needed)
        return next((number for number in self.ring_numbers if number not in used), None)

    def list_bonds(self, state: SmilesState) -> Iterator[int]:
        graph = state.graph
        kind = graph.kinds[graph.current]
        must_simulate, can_use = kind.is_aromatic or kind.is_exact or bool(kind.unusual), dict[int, bool]()
        for token, number in self.bonds.items():
            order = BOND_ORDERS[token]
            if not graph.fits_syntax(token) or (token == "-" and not kind.is_aromatic):
                continue
            if order > (2 if kind.is_aromatic else graph.num_free):
                continue
            if must_simulate and order not in can_use:
                can_use[order] = self.can_use_bond(state, token)
            if can_use.get(order, True):
                yield number

    def can_use_bond(self, state: SmilesState, token: str) -> bool:
        """Return whether an atom, or the number of an open ring, can follow a bond."""
        after = state.graph.copy()
        return after.read(token) and any(after.copy().read(each) for each in (CARBON, *state.own_rings))

    def list_rings(self, state: SmilesState) -> Iterator[int]:
        """Yield the lowest free ring number, if a ring can begin here, and those of the rings that can be closed."""
        graph = state.graph
        if graph.last not in ("atom", "ring", "bond"):
            return
        closable = [number for number in graph.rings if number not in state.reserved]
        yield from (self.ids[number] for number in closable if self.can_close_ring(state, number))
        has_room = graph.num_free > BOND_ORDERS[graph.bond]
        for number in (self.find_ring_number(state), *(state.needed - graph.rings.keys())) if has_room else ():
            if number in self.ids and graph.copy().read(number):
                yield self.ids[number]

    def can_close_ring(self, state: SmilesState, number: str) -> bool:
        graph = state.graph
        if number not in self.ids or not graph.fits_syntax(number) or graph.num_free < 1:
            return False
        after = graph.copy()
        if not after.read(number):
            return False
        return self.can_go_on(after) or self.can_stop(state, after)

    def can_go_on(self, graph: Graph) -> bool:
        """Return whether an atom, or a ring that is closed, can follow."""
        if graph.num_free < 1:
            return False
        if not graph.kinds[graph.current].is_aromatic:
            return True
        return any(graph.copy().read(token) for token in (CARBON, AROMATIC_CARBON, *graph.rings))

    def can_write(self, state: SmilesState, token: str) -> bool:
        """Return whether a branch can begin, or end, here."""
        graph = state.graph
        if not graph.fits_syntax(token):
            return False
        if token == ")":
            return self.can_close_branch(state, graph)
        kind, after = graph.kinds[graph.current], graph.copy()
        has_room = graph.num_free >= 2
        return has_room and (not kind.is_aromatic or (after.read(token) and after.read(CARBON)))


def format_ring_number(number: int) -> str:
    return str(number) if number < 10 else f"%{number}"


def is_ring_number(token: str) -> bool:
    return token[0].isdigit() or token[0] == "%"
