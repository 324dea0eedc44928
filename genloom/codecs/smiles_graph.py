"""A molecule while its SMILES is written: atoms with their valences, open rings and branches, aromatic rings.

Aromatic rings get alternating double bonds as they are written: a matching of the atoms that need one is extended
whenever an atom is left (Berge 1957), so that a ring which cannot have them is noticed before it is closed.
"""

import re
from dataclasses import dataclass, field
from functools import cache

BOND_ORDERS = {"": 1, "-": 1, "/": 1, "\\": 1, "=": 2, "#": 3}
VALENCES = {"H": 1, "B": 3, "C": 4, "N": 3, "O": 2, "F": 1, "Si": 4, "P": 5, "S": 6, "Cl": 1, "As": 5, "Se": 6, "Br": 1}
VALENCES |= {"Te": 6, "I": 1}
CHARGED_VALENCES = {("B", -1): 4, ("C", 1): 3, ("C", -1): 3, ("N", 1): 4, ("N", -1): 2, ("O", 1): 3, ("O", -1): 1}
CHARGED_VALENCES |= {("P", 1): 4, ("S", 1): 3, ("S", -1): 1, ("Se", 1): 3, ("Se", -1): 1}
AROMATIC_BONDS = {"c": 3, "n": 3, "p": 3, "o": 2, "s": 2, "se": 2, "te": 2}  # with other atoms, at most
MAX_PATH = 40  # atoms of a path along which double bonds move
UNUSUAL_SUMS = {"S": (3, 5), "Se": (3, 5), "Te": (3, 5), "P": (4,), "As": (4,)}
BRACKET_PATTERN = re.compile(
    r"\[\d*(?P<symbol>[A-Z][a-z]?|[a-z]{1,2}?)@{0,2}(?P<hydrogens>H\d?)?(?P<charge>[+-]\d?)?\]"
)


@dataclass(frozen=True)
class AtomKind:
    """The bonds that an atom can have."""

    capacity: int  # the sum of the orders; of an aromatic atom the number of bonds, without its share of the ring
    is_aromatic: bool = False
    needs_double: str = ""  # whether an aromatic atom takes part in a double bond: "always", or "if two" bonds
    is_exact: bool = False  # whether it has no implicit hydrogens, which fill it up
    unusual: tuple[int, ...] = ()  # sums of the orders that only hydrogens on a hypervalent atom would complete


@cache
def parse_atom(token: str) -> AtomKind | None:
    """Return the kind of an atom; None for a token that is none, or of an atom whose valence is not known."""
    if token in AROMATIC_BONDS and not token.startswith("["):
        needs = {"c": "always", "n": "if two", "p": "if two"}.get(token, "")
        return AtomKind(AROMATIC_BONDS[token], True, needs)
    if token in ("B", "C", "N", "O", "P", "S", "F", "Cl", "Br", "I"):
        return AtomKind(VALENCES[token], unusual=UNUSUAL_SUMS.get(token, ()))
    match = BRACKET_PATTERN.fullmatch(token)
    if match is None:
        return None
    symbol, hydrogens, charge = match["symbol"], match["hydrogens"] or "", match["charge"] or ""
    num_hydrogens = int(hydrogens[1:] or 1) if hydrogens else 0
    num_charges = int(charge[0] + (charge[1:] or "1")) if charge else 0
    if symbol.islower():
        return _parse_aromatic(symbol, num_hydrogens, num_charges)
    valence = CHARGED_VALENCES.get((symbol, num_charges)) if num_charges else VALENCES.get(symbol)
    if valence is None or valence <= num_hydrogens:
        return None
    return AtomKind(valence - num_hydrogens, is_exact=valence <= 4)


def _parse_aromatic(symbol: str, num_hydrogens: int, num_charges: int) -> AtomKind | None:
    match symbol, num_hydrogens, num_charges:
        case "n", 1, 0:
            return AtomKind(2, True, is_exact=True)
        case "n", 0, -1:
            return AtomKind(2, True, is_exact=True)
        case "n", 0, 1:
            return AtomKind(3, True, "always", is_exact=True)
        case "n", 1, 1:
            return AtomKind(2, True, "always", is_exact=True)
        case "c", 0, 0:
            return AtomKind(3, True, "always", is_exact=True)
        case "c", 1, 0:
            return AtomKind(2, True, "always", is_exact=True)
        case (("se" | "te"), 0, 0):
            return AtomKind(2, True)
    return None


@dataclass
class Graph:
    """A molecule as far as it is written: its atoms in their order, each bonded to its parent, and what is open."""

    kinds: list[AtomKind] = field(default_factory=list)
    used: list[int] = field(default_factory=list)  # of the capacity
    has_double: list[bool] = field(default_factory=list)  # of an aromatic atom: a double bond outside of the ring
    parents: list[int] = field(default_factory=list)
    is_ring_atom: list[bool] = field(default_factory=list)  # of an aromatic ring
    neighbours: list[tuple[int, ...]] = field(default_factory=list)  # by aromatic bonds
    mates: list[int] = field(default_factory=list)  # at the other end of the double bond of the ring; -1: none
    is_left: list[bool] = field(default_factory=list)  # whether no further bond can follow
    num_open: list[int] = field(default_factory=list)  # branches and rings that begin at an atom and are open
    ring_bonds: frozenset[tuple[int, int]] = frozenset()  # that numbers close
    aromatic_bonds: frozenset[tuple[int, int]] = frozenset()  # of aromatic rings that are closed
    rings: dict[str, tuple[int, str]] = field(default_factory=dict)  # the open ones: atom and bond
    branches: list[tuple[int, int]] = field(default_factory=list)  # the open ones: atom, and the first atom inside
    current: int = -1
    bond: str = ""  # the bond that was written before the next atom or ring number
    last: str = ""  # "atom", "bond", "ring", "open" or "close": the last token
    closed_here: frozenset[str] = frozenset()  # numbers of rings that the current atom closes
    must_open_ring: bool = False  # an aromatic atom was entered from outside of its ring

    def copy(self) -> "Graph":
        return Graph(
            self.kinds.copy(),
            self.used.copy(),
            self.has_double.copy(),
            self.parents.copy(),
            self.is_ring_atom.copy(),
            self.neighbours.copy(),
            self.mates.copy(),
            self.is_left.copy(),
            self.num_open.copy(),
            self.ring_bonds,
            self.aromatic_bonds,
            dict(self.rings),
            list(self.branches),
            self.current,
            self.bond,
            self.last,
            self.closed_here,
            self.must_open_ring,
        )

    def read(self, token: str) -> bool:
        """Add a token; return whether it can follow. After one that cannot, the graph is not of use."""
        if not self.fits_syntax(token):
            return False
        if token in BOND_ORDERS:
            self.bond, self.last = token, "bond"
            return True
        if token == "(":
            self.branches.append((self.current, len(self.kinds)))
            self.num_open[self.current] += 1
            self.last = "open"
            return True
        if token == ")":
            return self.close_branch()
        if token[0].isdigit() or token[0] == "%":
            return self.write_ring(token)
        kind = parse_atom(token)
        return kind is not None and self.add_atom(kind)

    def fits_syntax(self, token: str) -> bool:
        """Return whether a token can stand after the last one, whatever the atoms are."""
        is_ring = token[0].isdigit() or token[0] == "%"
        if self.must_open_ring:
            return is_ring and (token not in self.rings or self.kinds[self.rings[token][0]].is_aromatic)
        if token == ")":
            return bool(self.branches) and self.last in ("atom", "ring", "close")
        if token == "(" or token in BOND_ORDERS:
            is_after_open = self.last == "open" and token != "("
            return self.last in ("atom", "ring", "close") or is_after_open
        return not is_ring or self.last in ("atom", "ring", "bond")

    def add_atom(self, kind: AtomKind) -> bool:
        """Add an atom, bonded to the current one."""
        parent, number, bond = self.current, len(self.kinds), self.bond
        is_aromatic = parent >= 0 and self.kinds[parent].is_aromatic and kind.is_aromatic and not bond
        fits = parent < 0 or self.add_bond(parent, BOND_ORDERS[bond])
        self.kinds.append(kind)
        self.used.append(0)
        self.has_double.append(False)
        self.parents.append(parent)
        self.is_ring_atom.append(False)
        self.neighbours.append((parent,) if is_aromatic else ())
        self.mates.append(-1)
        self.is_left.append(False)
        self.num_open.append(0)
        self.current, self.bond, self.last, self.closed_here = number, "", "atom", frozenset()
        self.must_open_ring = kind.is_aromatic and not is_aromatic
        if parent < 0:
            return True
        if is_aromatic:
            self.neighbours[parent] += (number,)
        fits = fits and self.add_bond(number, BOND_ORDERS[bond])
        fits = fits and (self.num_open[parent] > 0 or self.leave(parent))
        return fits and (is_aromatic or not self.kinds[parent].is_aromatic or self.can_close_aromatic_rings())

    def can_close_aromatic_rings(self) -> bool:
        """Return whether aromatic atoms can still be in rings: among them one is open, and there are two ends."""
        live, seen = {self.current, *(atom for atom, _ in self.branches)}, set[int]()
        for atom, kind in enumerate(self.kinds):
            if not kind.is_aromatic or self.is_ring_atom[atom] or atom in seen:
                continue
            group = self.find_path(atom)
            seen.update(group)
            num_open = sum(other in group for other, _ in self.rings.values())
            is_new = self.must_open_ring and self.current in group
            if not is_new and (not num_open or num_open + len(live & group.keys()) < 2):
                return False
        return True

    def find_path(self, start: int, end: int = -1) -> dict[int, int]:
        """Return the atoms that aromatic bonds lead to, each with the one before it, up to the end."""
        before, queue = {start: start}, [start]
        for atom in queue:
            for other in self.neighbours[atom]:
                if other not in before:
                    before[other] = atom
                    queue.append(other)
            if end in before:
                break
        return before

    def add_bond(self, atom: int, order: int) -> bool:
        """Use up the capacity of an atom for a bond."""
        kind = self.kinds[atom]
        if not kind.is_aromatic:
            self.used[atom] += order
            return self.used[atom] <= kind.capacity
        self.used[atom] += 1
        if self.used[atom] > kind.capacity or order > 2 or (order == 2 and not self.take_double(atom)):
            return False
        return self.free_mate(atom)

    def free_mate(self, atom: int) -> bool:
        """Give the mate of an atom that can have none any more another one."""
        mate = self.mates[atom]
        if mate < 0 or self.can_have_mate(atom):
            return True
        self.mates[atom] = self.mates[mate] = -1
        return not self.is_left[mate] or self.find_mate(mate)

    def take_double(self, atom: int) -> bool:
        """Give an aromatic atom a double bond outside of its ring, if it can have one."""
        kind = self.kinds[atom]
        if kind.needs_double != "always" or kind.is_exact or self.has_double[atom]:
            return False
        self.has_double[atom] = True
        return True

    def can_have_mate(self, atom: int) -> bool:
        needs = self.kinds[atom].needs_double
        return (needs == "always" and not self.has_double[atom]) or (needs == "if two" and self.used[atom] <= 2)

    def find_mate(self, atom: int, path: frozenset[int] = frozenset()) -> bool:
        """Give an atom a double bond of the ring, and others new ones if necessary, along a path of atoms not in it."""
        for other in self.neighbours[atom]:
            if other in path or not self.can_have_mate(other):
                continue
            mate = self.mates[other]
            if mate >= 0 and self.is_left[mate]:
                if mate in path or len(path) > MAX_PATH or not self.find_mate(mate, path | {atom, other}):
                    continue
            elif mate >= 0:
                self.mates[mate] = -1
            self.mates[atom], self.mates[other] = other, atom
            return True
        return False

    def leave(self, atom: int) -> bool:
        """Mark an atom as complete; return whether it has the bonds that it needs."""
        kind = self.kinds[atom]
        self.is_left[atom] = True
        if (kind.is_exact and self.used[atom] < kind.capacity) or (kind.is_aromatic and self.used[atom] < 2):
            return False
        if self.used[atom] in kind.unusual:
            return False
        return self.mates[atom] >= 0 or not self.can_have_mate(atom) or self.find_mate(atom)

    def write_ring(self, number: str) -> bool:
        """Open the ring bond of this number, or close it."""
        atom, bond = self.current, self.bond
        self.bond, self.last = "", "ring"
        if number not in self.rings:
            self.rings[number] = atom, bond
            self.num_open[atom] += 1
            self.must_open_ring = False
            return self.add_bond(atom, BOND_ORDERS[bond])
        other, other_bond = self.rings.pop(number)
        self.closed_here |= {number}
        self.num_open[other] -= 1
        ends = min(atom, other), max(atom, other)
        is_bonded = ends[0] in (ends[1], self.parents[ends[1]]) or ends in self.ring_bonds
        if is_bonded or (bond and other_bond and BOND_ORDERS[bond] != BOND_ORDERS[other_bond]):
            return False
        self.ring_bonds |= {ends}
        order = BOND_ORDERS[bond or other_bond]
        if not self.raise_order(other, order - BOND_ORDERS[other_bond]) or not self.add_bond(atom, order):
            return False
        is_aromatic = self.kinds[atom].is_aromatic and self.kinds[other].is_aromatic and not (bond or other_bond)
        if is_aromatic:
            self.must_open_ring = False
            self.mark_ring(atom, other)
            self.neighbours[atom] += (other,)
            self.neighbours[other] += (atom,)
        return (self.num_open[other] > 0 or self.leave(other)) and self.can_close_aromatic_rings()

    def raise_order(self, atom: int, difference: int) -> bool:
        if difference <= 0:
            return True
        if self.kinds[atom].is_aromatic:
            return difference == 1 and self.take_double(atom) and self.free_mate(atom)
        self.used[atom] += difference
        return self.used[atom] <= self.kinds[atom].capacity

    def mark_ring(self, atom: int, other: int) -> None:
        """Mark the bonds and atoms of the aromatic ring that a bond between two atoms closes, if it closes one."""
        before = self.find_path(atom, other)
        if other not in before:
            return
        bonds = {(min(atom, other), max(atom, other))}
        self.is_ring_atom[atom] = self.is_ring_atom[other] = True
        while other != atom:
            bonds.add((min(other, before[other]), max(other, before[other])))
            other = before[other]
            self.is_ring_atom[other] = True
        self.aromatic_bonds |= bonds

    def close_branch(self) -> bool:
        atom = self.current
        self.current, first = self.branches.pop()
        self.num_open[self.current] -= 1
        self.last = "close"
        return (self.num_open[atom] > 0 or self.leave(atom)) and self.check_rings(first)

    def check_rings(self, first: int) -> bool:
        """Return whether the aromatic atoms from this one on are in rings, unless a ring that begins there is open."""
        if any(atom >= first for atom, _ in self.rings.values()):
            return True
        for atom in range(first, len(self.kinds)):
            if self.kinds[atom].is_aromatic and not self.is_ring_atom[atom]:
                return False
            for other in self.neighbours[atom]:
                if (min(atom, other), max(atom, other)) not in self.aromatic_bonds:
                    if self.mates[atom] == other:
                        return False
                    self.neighbours[atom] = tuple(each for each in self.neighbours[atom] if each != other)
                    self.neighbours[other] = tuple(each for each in self.neighbours[other] if each != atom)
        return True

    def finish(self) -> bool:
        """End the molecule; return whether it is complete."""
        if self.rings or self.branches or self.current < 0 or self.last in ("bond", "open") or self.must_open_ring:
            return False
        return self.leave(self.current) and self.check_rings(0)

    @property
    def num_free(self) -> int:
        """The bonds that the current atom can still have."""
        return self.kinds[self.current].capacity - self.used[self.current]

    @property
    def first_inside(self) -> int:
        """The first atom of the innermost open branch."""
        return self.branches[-1][1] if self.branches else 0

    @property
    def has_open_aromatic_ring(self) -> bool:
        return any(self.kinds[atom].is_aromatic for atom, _ in self.rings.values())
