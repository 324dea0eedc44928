"""The pronunciations of English words: dictionaries, rules for endings and compounds, and letters for the rest.

The dictionaries are those of misaki (a curated one and a larger one) and that of Carnegie Mellon University.
"""

import gzip
import json
import re
import unicodedata
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path

from genloom.speech.english_spelling import SpellingNetwork, convert_arpabet

FILES = ("us_gold.json", "us_silver.json", "gb_gold.json", "gb_silver.json", "cmudict.js", "spelling.npz")
_CMU_ENTRY = re.compile(r'"([^"]+)": "([^"]+)"')
_VOICELESS, _HISSES = frozenset("ptkfθ"), frozenset("szʃʒʧʤ")
_MIN_COMPOUND = 7
_LETTER_NAMES = {"a": "ˈA", "w": "dˈʌbᵊlju", "z": "zˈi"}  # of those that the dictionaries have as words

Senses = Mapping[str, str | None]  # the pronunciations of a word by its part of speech, with "DEFAULT"


def read_words(path: Path) -> Mapping[str, str | Senses]:
    """Return the words of a dictionary, which may be compressed (.json.gz); {} if there is none."""
    compressed = path.with_name(f"{path.name}.gz")
    if compressed.is_file():
        return json.loads(gzip.decompress(compressed.read_bytes()))
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


class EnglishLexicon:
    """The pronunciations of English words in the American or the British dictionaries that a folder has."""

    def __init__(self, folder: Path, is_british: bool = False):
        self.folder, self.is_british = folder, is_british
        prefix = "gb" if is_british else "us"
        self.gold, self.silver = (read_words(folder / f"{prefix}_{name}.json") for name in ("gold", "silver"))
        self.pronounce = lru_cache(20_000)(self._pronounce)

    @cached_property
    def _cmu(self) -> dict[str, str]:
        """The dictionary of Carnegie Mellon University, which is read when a word is in no other."""
        path = self.folder / "cmudict.js"
        return dict(_CMU_ENTRY.findall(path.read_text("utf-8"))) if path.is_file() else {}

    @cached_property
    def _spelling(self) -> SpellingNetwork:
        return SpellingNetwork(self.folder / "spelling.npz")

    def _pronounce(self, word: str, tag: str = "") -> str:
        """Return the phonemes of a word, which may have capitals; `tag` is its part of speech if that is known."""
        if _is_acronym(word, self):
            return self.spell(word)
        return self.find(word, tag) or self._inflect(word, tag) or self._divide(word) or self._guess(word)

    def find(self, word: str, tag: str = "") -> str:
        """Return what a dictionary of misaki says of a word; "" if none has it."""
        for dictionary in (self.gold, self.silver):
            for form in dict.fromkeys((word, word.lower(), word.capitalize())):
                entry = dictionary.get(form)
                if entry is None or (len(form) == 1 and form not in "aAI"):
                    continue
                if isinstance(entry, str):
                    return entry
                if phonemes := entry.get(tag) or entry.get(_PARENT_TAGS.get(tag, "")) or entry.get("DEFAULT"):
                    return phonemes
        return ""

    def spell(self, word: str) -> str:
        """Return the names of the letters of a word, with the stress on the last."""
        names = [self._name_letter(letter) for letter in word if letter.isalpha()]
        return "".join(name.replace("ˈ", "ˌ") for name in names[:-1]) + "".join(names[-1:])

    def _name_letter(self, letter: str) -> str:
        entry = self.gold.get(letter.upper())
        if isinstance(entry, str) and letter.lower() not in _LETTER_NAMES:
            return entry
        name = _LETTER_NAMES.get(letter.lower(), "")
        return "zˈɛd" if self.is_british and letter.lower() == "z" else name

    def _inflect(self, word: str, tag: str) -> str:
        """Return the phonemes of a word whose stem is in a dictionary; "" if none is."""
        lower = word.lower()
        for ending, length in (("'s", 2), ("s'", 1), ("es", 2), ("s", 1)):
            if lower.endswith(ending) and len(word) > length + 1 and (stem := self.find(word[:-length], tag)):
                return stem + self._end_plural(stem[-1])
        if lower.endswith("ies") and (stem := self.find(f"{word[:-3]}y", tag)):
            return f"{stem}z"
        if lower.endswith("ed") and len(word) > 3:
            for length in (1, 2):
                if stem := self.find(word[:-length], "VERB"):
                    return stem + self._end_past(stem[-1])
        if lower.endswith("ing") and len(word) > 4:
            stem = self.find(word[:-3], "VERB") or self.find(f"{word[:-3]}e", "VERB")
            return f"{stem}ɪŋ" if stem else ""
        return ""

    def _end_plural(self, last: str) -> str:
        if last in _VOICELESS:
            return "s"
        return ("ɪz" if self.is_british else "ᵻz") if last in _HISSES else "z"

    def _end_past(self, last: str) -> str:
        if last in "td":
            return "ɪd" if self.is_british else "ᵻd"
        return "t" if last in "pkfθʃsʧ" else "d"

    def _divide(self, word: str) -> str:
        """Return the phonemes of a word with hyphens, or of a compound of two known ones; "" if it is neither."""
        if "-" in word:
            return " ".join(self._pronounce(part) for part in word.split("-") if part)
        lower = word.lower()
        if lower in self._cmu:
            return convert_arpabet(self._cmu[lower].split(), self.is_british)
        if lower.endswith("'s") and lower[:-2] in self._cmu:
            stem = convert_arpabet(self._cmu[lower[:-2]].split(), self.is_british)
            return stem + self._end_plural(stem[-1])
        if len(lower) < _MIN_COMPOUND:
            return ""
        for cut in range(len(lower) - 3, 2, -1):
            first, second = self.gold.get(lower[:cut]), self.gold.get(lower[cut:])
            if isinstance(first, str) and isinstance(second, str):
                return first + second.replace("ˈ", "ˌ")
        return ""

    def _guess(self, word: str) -> str:
        """Return phonemes for a word that no dictionary has, from its letters."""
        plain = "".join(c for c in unicodedata.normalize("NFD", word.lower()) if "a" <= c <= "z")
        if plain and plain != word.lower() and (found := self.find(plain) or self._inflect(plain, "")):
            return found
        if not plain or not set(plain) & set("aeiouy"):
            return self.spell(plain)
        return convert_arpabet(self._spelling.pronounce(plain), self.is_british)


_PARENT_TAGS = {"VBD": "VERB", "VBN": "VERB", "VBP": "VERB"}


def _is_acronym(word: str, lexicon: EnglishLexicon) -> bool:
    """Return whether a word in capitals is read letter by letter: it is no word, or a noun that is never one."""
    if len(word) < 2 or not word.isupper() or not word.isalpha():
        return False
    entry = lexicon.gold.get(word)
    if isinstance(entry, Mapping):
        return "NOUN" in entry and entry["NOUN"] is None
    if entry is not None or word in lexicon.silver:
        return False
    is_word = word.lower() in lexicon.gold or word.lower() in lexicon.silver
    return not is_word and (len(word) <= 4 or not set(word) & set("AEIOUY"))
