"""The tokens of SMILES with their positions, and the first fault in a text that is no SMILES (Weininger 1988)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from genloom.errors import GenloomError

TOKEN = re.compile(
    r"(?P<bracket>\[[^\[\]]*\])|(?P<atom>Br|Cl|[BCNOPSFI]|[bcnops])|(?P<wildcard>\*)"
    r"|(?P<ring>%\d\d|%\(\d{1,5}\)|\d)|(?P<bond>->|<-|[-=#$:/\\~])|(?P<open>\()|(?P<close>\))|(?P<dot>\.)"
)
AROMATIC = frozenset("b c n o p s as se si te".split())  # noqa: SIM905
SYMBOLS = AROMATIC | frozenset(
    "* H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr "  # noqa: SIM905
    "Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb "
    "Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf "
    "Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og".split()
)
BRACKET = re.compile(
    r"\[\d{0,3}([A-Z][a-z]?|[a-z][a-z]?|\*)(@{1,2}|@[A-Z]{2}\d{1,2})?(H\d*)?([+-]+|[+-]\d{1,2})?(:\d+)?\]"
)


@dataclass(frozen=True)
class Token:
    """A part of a SMILES text."""

    kind: str  # bracket, atom, wildcard, ring, bond, open, close or dot
    text: str
    begin: int  # its position in the text, from 0


@dataclass(frozen=True)
class Fault:
    """The place where a text stops being SMILES, and what is wrong there."""

    position: int  # from 0
    error: GenloomError


def split_tokens(smiles: str) -> Iterator[Token | Fault]:
    """Yield the tokens; a Fault at the first character that begins none, where the iteration ends."""
    position = 0
    while position < len(smiles):
        match = TOKEN.match(smiles, position)
        if match is None:
            if smiles[position] == "[":
                yield Fault(position, GenloomError("molecule.open_bracket"))
            else:
                yield Fault(position, GenloomError("molecule.unknown_symbol", text=smiles[position]))
            return
        assert match.lastgroup is not None
        yield Token(match.lastgroup, match[0], position)
        position = match.end()


def list_atom_positions(smiles: str) -> list[int]:
    """Return the position of each atom in a text, in the order in which readers number them."""
    tokens = (token for token in split_tokens(smiles) if isinstance(token, Token))
    return [token.begin for token in tokens if token.kind in ("atom", "bracket", "wildcard")]


def find_fault(smiles: str) -> Fault | None:
    """Return the first fault of the grammar: symbols, brackets, branches, bonds and rings; None if there is none."""
    branches: list[int] = []
    rings: dict[str, int] = {}
    bond: Token | None = None
    previous = ""
    for token in split_tokens(smiles):
        if isinstance(token, Fault):
            return token
        is_atom = token.kind in ("atom", "bracket", "wildcard")
        if token.kind == "bracket":
            match = BRACKET.fullmatch(token.text)
            if match is None:
                return Fault(token.begin, GenloomError("molecule.bad_bracket", text=token.text))
            if match[1] not in SYMBOLS:
                return Fault(token.begin, GenloomError("molecule.unknown_element", text=match[1]))
        if bond is not None and not is_atom and token.kind != "ring":
            return Fault(bond.begin, GenloomError("molecule.bond_without_atom", text=bond.text))
        if not is_atom and previous in ("", "dot") and token.kind not in ("open", "bond"):
            return Fault(token.begin, GenloomError("molecule.symbol_without_atom", text=token.text))
        if token.kind in ("bond", "open") and previous in ("", "dot"):
            return Fault(token.begin, GenloomError("molecule.symbol_without_atom", text=token.text))
        if token.kind == "open":
            if previous == "open":
                return Fault(token.begin, GenloomError("molecule.symbol_without_atom", text=token.text))
            branches.append(token.begin)
        elif token.kind == "close":
            if not branches or previous == "open":
                return Fault(
                    token.begin,
                    GenloomError("molecule.empty_branch") if branches else GenloomError("molecule.close_without_open"),
                )
            branches.pop()
        elif token.kind == "ring":
            if previous in ("open", "close"):
                return Fault(token.begin, GenloomError("molecule.symbol_without_atom", text=token.text))
            number = token.text.strip("%()").lstrip("0") or "0"
            rings.pop(number) if number in rings else rings.update({number: token.begin})
        bond = token if token.kind == "bond" else None
        previous = token.kind
    if bond is not None:
        return Fault(bond.begin, GenloomError("molecule.bond_without_atom", text=bond.text))
    if branches:
        return Fault(branches[-1], GenloomError("molecule.open_without_close"))
    if rings:
        number, position = next(iter(rings.items()))
        return Fault(position, GenloomError("molecule.open_ring", text=number))
    if previous in ("", "dot"):
        return Fault(max(len(smiles) - 1, 0), GenloomError("molecule.symbol_without_atom", text=smiles[-1:]))
    return None


_HYDROGEN = re.compile(r"\[\d*H\d?[+-]?\]")
_ATOM = re.compile(r"\[[^\[\]]*\]|Br|Cl|[BCNOPSFI]|[bcnops]")


def count_heavy_atoms(smiles: str) -> int:
    """Return the number of atoms in a text that are not hydrogen, without a check of the rest."""
    return len(_ATOM.findall(_HYDROGEN.sub("", smiles)))
