"""Goals in words: "a small soluble amine", "drug-like", "no rings", "at most two aromatic rings".

Every phrase stands for ranges of properties with a source, which are shown, so that nobody has to guess them.
"""

import re
from collections.abc import Iterator
from math import inf

from genloom.errors import GenloomError, format_suggestion
from genloom.media.molecule.properties import ALIASES, PROPERTIES

Range = tuple[str, float, float]  # a property, its least and its greatest value

_LIPINSKI: tuple[Range, ...] = (
    ("mw", -inf, 500), ("logp", -inf, 5), ("donors", -inf, 5), ("acceptors", -inf, 10),
)  # fmt: skip
_VEBER: tuple[Range, ...] = (("rotatable", -inf, 10), ("tpsa", -inf, 140))
_SOLUBLE: tuple[Range, ...] = (("logs", -4, inf),)

PHRASES: dict[str, tuple[Range, ...]] = {
    "drug like": _LIPINSKI + _VEBER,  # Lipinski et al. 1997; Veber et al. 2002
    "druglike": _LIPINSKI + _VEBER,
    "rule of five": _LIPINSKI,
    "oral": _LIPINSKI + _VEBER,
    "lead like": (("mw", 250, 350), ("logp", -inf, 3.5), ("rotatable", -inf, 7)),  # ZINC; Teague et al. 1999
    "leadlike": (("mw", 250, 350), ("logp", -inf, 3.5), ("rotatable", -inf, 7)),
    "fragment like": (  # Congreve et al. 2003, the rule of three
        ("mw", -inf, 300),
        ("logp", -inf, 3),
        ("donors", -inf, 3),
        ("acceptors", -inf, 3),
        ("rotatable", -inf, 3),
    ),
    "fragment": (
        ("mw", -inf, 300),
        ("logp", -inf, 3),
        ("donors", -inf, 3),
        ("acceptors", -inf, 3),
        ("rotatable", -inf, 3),
    ),
    "brain penetrant": (("tpsa", -inf, 90), ("mw", -inf, 450), ("donors", -inf, 3), ("logp", 1, 4)),  # Pajouhesh 2005
    "cns": (("tpsa", -inf, 90), ("mw", -inf, 450), ("donors", -inf, 3), ("logp", 1, 4)),
    "very soluble": (("logs", -2, inf),),  # the classes of ESOL as SwissADME names them (Daina et al. 2017)
    "poorly soluble": (("logs", -inf, -6),),
    "insoluble": (("logs", -inf, -6),),
    "soluble": _SOLUBLE,
    "water soluble": _SOLUBLE,
    "very small": (("mw", -inf, 200),),
    "small": (("mw", -inf, 300),),
    "medium sized": (("mw", 300, 450),),
    "large": (("mw", 450, inf),),
    "lipophilic": (("logp", 3, inf),),
    "greasy": (("logp", 4, inf),),
    "hydrophobic": (("logp", 3, inf),),
    "hydrophilic": (("logp", -inf, 1),),
    "polar": (("tpsa", 75, inf),),
    "nonpolar": (("tpsa", -inf, 40),),
    "non polar": (("tpsa", -inf, 40),),
    "rigid": (("rotatable", -inf, 2),),
    "flexible": (("rotatable", 7, inf),),
    "flat": (("fsp3", -inf, 0.2),),
    "three dimensional": (("fsp3", 0.5, inf),),  # Lovering et al. 2009: drugs have 0.47 on average
    "sp3 rich": (("fsp3", 0.5, inf),),
    "makeable": (("sa", -inf, 3),),
    "easy to make": (("sa", -inf, 3),),
    "synthesisable": (("sa", -inf, 3),),
    "synthesizable": (("sa", -inf, 3),),
    "acyclic": (("rings", -inf, 0),),
    "cyclic": (("rings", 1, inf),),
    "aromatic": (("aromatic_rings", 1, inf),),
    "not aromatic": (("aromatic_rings", -inf, 0),),
    "non aromatic": (("aromatic_rings", -inf, 0),),
    "aliphatic": (("aromatic_rings", -inf, 0),),
    "chiral": (("stereocenters", 1, inf),),
    "achiral": (("stereocenters", -inf, 0),),
    "neutral": (("charge", 0, 0),),
    "fluorinated": (("fluorines", 1, inf),),
    "chlorinated": (("chlorines", 1, inf),),
    "halogenated": (("halogens", 1, inf),),
}

COUNTED = {  # a noun and the property that counts it
    "ring": "rings", "aromatic ring": "aromatic_rings", "donor": "donors", "acceptor": "acceptors",
    "rotatable bond": "rotatable", "stereocentre": "stereocenters", "stereocenter": "stereocenters",
    "heavy atom": "heavy_atoms", "atom": "heavy_atoms", "amine": "amines", "alcohol": "alcohols", "phenol": "phenols",
    "acid": "acids", "carboxylic acid": "acids", "ester": "esters", "amide": "amides", "ketone": "ketones",
    "aldehyde": "aldehydes", "ether": "ethers", "nitrile": "nitriles", "nitro group": "nitro_groups",
    "sulfonamide": "sulfonamides", "sulphonamide": "sulfonamides", "thiol": "thiols", "urea": "ureas",
    "halogen": "halogens", "fluorine": "fluorines", "chlorine": "chlorines",
}  # fmt: skip

NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
_FILLERS = """
    a an and the with that is are be of in to for it its has have molecule molecules compound compounds candidate
    candidates substance group groups hydrogen bond please some new but should"""
FILLERS = frozenset(_FILLERS.split())
_COUNT = r"(?P<count>\d{1,3}|" + "|".join(NUMBERS) + ")"
_BOUND = r"(?P<bound>no more than|no|without|not|any|at most|up to|at least|exactly|fewer than|less than|more than)?"
_NOUNS = "|".join(sorted(map(re.escape, COUNTED), key=len, reverse=True))
_COUNTED = re.compile(rf"\b{_BOUND}\s*(?:an?\s+|any\s+)?(?:{_COUNT}\s+)?(?:hydrogen bond\s+)?(?P<noun>{_NOUNS})s?\b")
_PHRASES = re.compile(r"\b(" + "|".join(sorted(map(re.escape, PHRASES), key=len, reverse=True)) + r")\b")


def read_phrases(text: str) -> list[Range]:
    """Return the ranges that the words of a text stand for; GenloomError for a word that is not known."""
    rest = " ".join(text.lower().replace("-", " ").split())
    ranges: list[Range] = []

    def take_phrase(match: re.Match[str]) -> str:
        ranges.extend(PHRASES[match[1]])
        return " "

    def take_count(match: re.Match[str]) -> str:
        ranges.append((COUNTED[match["noun"]], *read_bounds(match["bound"] or "", match["count"] or "")))
        return " "

    rest = _COUNTED.sub(take_count, rest)
    rest = _PHRASES.sub(take_phrase, rest)
    if unknown := next(list_unknown(rest), ""):
        known = [*PHRASES, *COUNTED, *PROPERTIES]
        if unknown in PROPERTIES or unknown in ALIASES:
            raise GenloomError("molecule.goal_unreadable", text=unknown)
        examples = "drug-like, small, soluble, amine, no rings, at most two aromatic rings"
        hint = format_suggestion(unknown, known)
        raise GenloomError("molecule.goal_unknown_word", word=unknown, hint=hint, examples=examples)
    return ranges


def read_bounds(bound: str, count: str) -> tuple[float, float]:
    """Return the least and greatest number that "no", "two", "at most 2" or nothing before a noun means."""
    number = NUMBERS.get(count) or int(count or 1)
    if bound in ("no", "without", "not", "any"):
        return (-inf, 0) if not count else (-inf, number - 1)
    return {
        "at most": (-inf, number),
        "no more than": (-inf, number),
        "up to": (-inf, number),
        "at least": (number, inf),
        "exactly": (number, number),
        "fewer than": (-inf, number - 1),
        "less than": (-inf, number - 1),
        "more than": (number + 1, inf),
    }.get(bound, (number, number) if count else (1, inf))


def list_unknown(rest: str) -> Iterator[str]:
    """Yield the words that mean nothing here and are no fillers."""
    return (word for word in re.findall(r"[^\s,;.]+", rest) if word not in FILLERS)
