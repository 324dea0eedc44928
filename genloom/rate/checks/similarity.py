"""How much of a text stands in a source: to keep to it, or to keep away from copying it."""

from collections import Counter
from dataclasses import dataclass

from genloom.rate.checks import Verdict


@dataclass(frozen=True)
class Config:
    source: str
    least: float = 0.0  # the share of the text that has to come from the source
    most: float = 1.0  # the share that may
    piece: int = 5  # characters that are compared at once

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.most <= 1 or self.piece < 1:
            raise ValueError(
                "Similarity goes from least to most, both from 0 to 1, in pieces of 1 character or more; "
                f"got {self.least}, {self.most} and {self.piece}."
            )


def check(text: str, config: Config) -> Verdict:
    found = contained(text, config.source, config.piece)
    said = f"{found:.0%} of it stands in the source"
    if found < config.least:
        return Verdict(found / config.least, False, f"{said}, less than {config.least:.0%}")
    if found > config.most:
        return Verdict((1 - found) / (1 - config.most), False, f"{said}, more than {config.most:.0%}")
    return Verdict(1.0, True, said)


def contained(text: str, source: str, piece: int) -> float:
    """The share of a text's pieces that the source has too, each as often as it has it; case and spacing aside.

    The containment of Broder (1997), over multisets.
    """
    own, there = pieces(text, piece), pieces(source, piece)
    return (own & there).total() / max(own.total(), 1)


def pieces(text: str, size: int) -> Counter[str]:
    plain = " ".join(text.casefold().split())
    if len(plain) <= size:
        return Counter([plain] if plain else [])
    return Counter(plain[n : n + size] for n in range(len(plain) - size + 1))
