"""Translation of documents piece by piece: the prompts, and the choice of the best of several candidates."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genloom.assistant.tasks.glossary import build_term_grammar, find_missing_terms
from genloom.assistant.tasks.languages import get_language_name, is_in_language

MAX_LENGTH_RATIO = 3.0  # of characters, translation to source; beyond, a model has begun to ramble
MIN_LENGTH_RATIO = 0.25
TOKENS_PER_SOURCE_TOKEN = 3  # room for a translation, whose language may take more tokens than the source's
GRAMMAR_ROOM = 3  # times that, for a text that a grammar keeps open until all its terms are written
MIN_COPIED_WORDS = 4  # of a sentence: shorter ones may be names, or the same in both languages
_WORD, _SENTENCE_END = re.compile(r"\w+"), re.compile(r"(?<=[.!?])\s|\n")
_LABEL = re.compile(r"^\s*(?:translation|traduction|übersetzung|traducción)\s*:\s*", re.IGNORECASE)
_QUOTES = ('""', "''", "“”", "«»", "„“", "‘’")


@dataclass(frozen=True)
class TranslationCandidate:
    """An output of a model for a piece."""

    text: str
    output: Any  # as the one who asked for it stored it
    has_loop: bool = False


# Writes `count` more candidates for a prompt; a grammar constrains them.
WriteCandidates = Callable[[str, int, str], Sequence[TranslationCandidate]]


@dataclass(frozen=True)
class PieceTranslation:
    """The translation of a piece, how its glossary terms came about, and what is wrong with it."""

    source: str
    text: str
    output: Any
    terms: Mapping[str, str] = field(default_factory=dict)  # of the glossary, in the source
    missing: Mapping[str, str] = field(default_factory=dict)  # of these, what the translation lacks
    means: str = ""  # "first": as the model wrote it; "choice": the best of several; "grammar": constrained
    problems: tuple[str, ...] = ()


def build_translation_prompt(text: str, source: str, target: str, terms: Mapping[str, str] | None = None) -> str:
    """Return the question that asks for a translation; `source` and `target` are codes of languages.

    The recipe of translation models trains on these very words.
    """
    names = get_language_name(source), get_language_name(target)
    lines = [f"Translate from {names[0]} to {names[1]}. Write only the translation."]
    if terms:
        lines.append("Use these terms: " + "; ".join(f"{term} = {wanted}" for term, wanted in terms.items()) + ".")
    return "\n".join(lines) + f"\n\n{text}"


def choose_translation(
    text: str,
    languages: tuple[str, str],
    terms: Mapping[str, str],
    first: TranslationCandidate,
    tries: int,
    write: WriteCandidates,
) -> PieceTranslation:
    """Return the first candidate, the best of `tries` if it has a fault, or one under a grammar for missing terms."""
    prompt = build_translation_prompt(text, *languages, terms)
    candidates = [clean_candidate(first, text)]
    means = "first"
    if find_faults(candidates[0], text, languages[1], terms) and tries > 1:
        candidates += [clean_candidate(each, text) for each in write(prompt, tries - 1, "")]
        means = "choice"
    best = min(candidates, key=lambda each: rank_candidate(each, text, languages[1], terms))
    if (missing := find_missing_terms(terms, best.text)) and "\n" not in text:
        grammar = build_term_grammar(list(terms.values()), round(1.3 * len(text)) + 10)
        for forced in (clean_candidate(each, text) for each in write(prompt, 1, grammar)):
            if len(find_missing_terms(terms, forced.text)) < len(missing):
                best, means = forced, "grammar"
    if means == "choice" and best is candidates[0]:
        means = "first"
    faults = find_faults(best, text, languages[1], terms)
    problems = tuple(fault for fault in faults if fault != "terms")
    return PieceTranslation(
        text, best.text, best.output, dict(terms), find_missing_terms(terms, best.text), means, problems
    )


def clean_candidate(candidate: TranslationCandidate, source: str) -> TranslationCandidate:
    """Return the candidate without a label, quotation marks and line breaks that the source does not have."""
    text = _LABEL.sub("", candidate.text).strip()
    for quotes in _QUOTES:
        is_quoted = len(text) > 1 and text[0] == quotes[0] and text[-1] == quotes[1]
        if is_quoted and source.strip()[:1] != text[0]:
            text = text[1:-1].strip()
    if "\n" not in source.strip():
        text = re.sub(r"\s*\n\s*", " ", text)  # a line of the document stays one line
    return TranslationCandidate(text, candidate.output, candidate.has_loop)


def find_faults(candidate: TranslationCandidate, source: str, target: str, terms: Mapping[str, str]) -> list[str]:
    """Return what is wrong with a candidate: empty, terms, echo, language, copy, part (of it a copy), loop, length."""
    text, faults = candidate.text, []
    if not text:
        return ["empty"]
    if find_missing_terms(terms, text):
        faults.append("terms")
    if any(f"{term} = {wanted}" in text for term, wanted in terms.items()):
        faults.append("echo")
    if text == source.strip() and sum(map(str.isalpha, source)) > 20:
        faults.append("copy")
    elif is_in_language(text, target) is False:
        faults.append("language")
    elif has_copied_sentence(text, source):
        faults.append("part")
    if candidate.has_loop:
        faults.append("loop")
    ratio = len(text) / max(len(source.strip()), 1)
    if len(source) > 20 and not MIN_LENGTH_RATIO <= ratio <= MAX_LENGTH_RATIO:
        faults.append("length")
    return faults


def has_copied_sentence(text: str, source: str) -> bool:
    """Return whether a sentence of at least four words stands in the source word by word, as one left untranslated."""
    source_words = f" {' '.join(_WORD.findall(source.casefold()))} "
    sentences = (_WORD.findall(sentence.casefold()) for sentence in _SENTENCE_END.split(text))
    return any(len(words) >= MIN_COPIED_WORDS and f" {' '.join(words)} " in source_words for words in sentences)


def rank_candidate(
    candidate: TranslationCandidate, source: str, target: str, terms: Mapping[str, str]
) -> tuple[int, int, float]:
    """Return a key that is lowest for the best candidate: missing terms, other faults, and an odd length."""
    faults = find_faults(candidate, source, target, terms)
    ratio = (len(candidate.text) + 1) / (len(source) + 1)
    num_missing = len(find_missing_terms(terms, candidate.text))
    return (num_missing, len([fault for fault in faults if fault != "terms"]), max(ratio, 1 / ratio))
