"""Phonemes as units that last some time: a sound with its stress, a pause, or the space between two words."""

from collections.abc import Sequence
from dataclasses import dataclass

EDGE, SPACE = "#", " "  # the silence around an utterance; between two words, where there may be none
PAUSES = ";:,.!?—…"
_SILENT = frozenset((EDGE, SPACE, *PAUSES))
_STRESSES, _LENGTH = "ˈˌ", "ː"


@dataclass(frozen=True)
class Unit:
    """A sound or a silence; silences may last no time."""

    symbol: str
    stress: int = 0  # 1: main, 2: secondary

    @property
    def is_silent(self) -> bool:
        return self.symbol in _SILENT


def split_units(phonemes: str) -> list[Unit]:
    """Return the units of phonemes, between two silences; of neighbouring silences, one is kept, a pause first."""
    units, stress = [Unit(EDGE)], 0
    for sign in phonemes:
        if sign in _STRESSES:
            stress = 1 + _STRESSES.index(sign)
        elif sign == _LENGTH and not units[-1].is_silent:
            units[-1] = Unit(units[-1].symbol + sign, units[-1].stress)
        elif sign.isalpha() and sign != _LENGTH:
            units.append(Unit(sign, stress))
            stress = 0
        elif sign in _SILENT and sign != EDGE:
            if not units[-1].is_silent:
                units.append(Unit(sign))
            elif units[-1].symbol == SPACE:
                units[-1] = Unit(sign)
    if units[-1].symbol == SPACE:
        units[-1] = Unit(EDGE)
    return units if units[-1].is_silent else [*units, Unit(EDGE)]


def list_inventory(utterances: Sequence[Sequence[Unit]]) -> tuple[str, ...]:
    """Return the symbols of utterances, sorted, with that of the silence around them."""
    return tuple(sorted({EDGE, *(unit.symbol for units in utterances for unit in units)}))
