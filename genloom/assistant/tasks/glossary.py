"""Glossaries: how certain terms are translated, what of that a translation keeps, and a grammar that enforces it."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from genloom.errors import GenloomError

MAX_TERMS = 5000
MAX_TERM_CHARS = 120
MAX_FORCED_TERMS = 4  # in one piece: a grammar lists their orders
_ENDING = r"\w{0,3}"  # of a plural or case that a translation may add to a term


@dataclass(frozen=True)
class Glossary:
    """Terms of the source language and their translations."""

    terms: Mapping[str, str]

    def find_terms(self, text: str) -> dict[str, str]:
        """Return the terms that occur in a text, in the order in which they do, longest first where they overlap."""
        found: list[tuple[int, int, str]] = []
        for term in sorted(self.terms, key=len, reverse=True):
            for match in _build_pattern(term).finditer(text):
                begin, end = match.span()
                if all(end <= other_begin or begin >= other_end for other_begin, other_end, _ in found):
                    found.append((begin, end, term))
        return {term: self.terms[term] for _, _, term in sorted(found)}


def build_glossary(pairs: Sequence[tuple[str, str]]) -> Glossary:
    """Return the glossary of pairs of a term and its translation.

    Raise GenloomError if there are none or too many, and if a term has two translations.
    """
    terms: dict[str, str] = {}
    keys: dict[str, str] = {}
    for term, translation in ((first.strip(), second.strip()) for first, second in pairs):
        if not term and not translation:
            continue
        if not term or not translation or max(len(term), len(translation)) > MAX_TERM_CHARS:
            raise GenloomError(
                "tasks.bad_glossary_row", term=term[:40], translation=translation[:40], limit=MAX_TERM_CHARS
            )
        known = keys.setdefault(term.casefold(), term)
        if terms.setdefault(known, translation) != translation:
            raise GenloomError("tasks.glossary_contradiction", term=term, first=terms[known], second=translation)
    if not terms:
        raise GenloomError("tasks.empty_glossary")
    if len(terms) > MAX_TERMS:
        raise GenloomError("tasks.glossary_too_long", count=len(terms), limit=MAX_TERMS)
    return Glossary(terms)


def find_missing_terms(terms: Mapping[str, str], translation: str) -> dict[str, str]:
    """Return the terms whose translations do not occur in a text; capitals and a short ending may differ."""
    return {
        term: wanted
        for term, wanted in terms.items()
        if not _build_pattern(wanted, has_ending=True).search(translation)
    }


def build_term_grammar(terms: Sequence[str], max_chars: int) -> str:
    """Return the grammar of texts of one paragraph in which all these terms occur, with `max_chars` between them.

    The grammar is one regular expression, so that a model may write anything until only a term is left to write.
    """
    free, mark = f"[^\\n]{{0,{max_chars}}}", r"[^\w\n]"  # a term is a word of its own
    forced = list(dict.fromkeys(terms))[:MAX_FORCED_TERMS]
    escaped = [re.sub(r"[^\w\s]", lambda match: "\\" + match[0], term) for term in forced]
    orders = [f"{mark}({free}{mark})?".join(order) for order in permutations(escaped)]
    pattern = f"({free}{mark})?({'|'.join(orders)})({mark}{free})?"
    return json.dumps({"grammars": [{"lark_grammar": f"start: /{pattern}/"}]})


def _build_pattern(term: str, has_ending: bool = False) -> re.Pattern[str]:
    """Return the pattern of a term as words of its own, whatever its capitals and blanks are."""
    words = r"\s+".join(map(re.escape, term.split()))
    begin = r"(?<!\w)" if term[:1].isalnum() else ""
    end = (_ENDING if has_ending else "") + r"(?!\w)" if term[-1:].isalnum() else ""
    return re.compile(begin + words + end, re.IGNORECASE)
