"""English texts as the phonemes that Kokoro was trained on."""

import re
from functools import lru_cache
from pathlib import Path

from genloom.speech.english_grammar import tag_word
from genloom.speech.english_lexicon import EnglishLexicon
from genloom.speech.english_text import expand_text

_LETTER = r"[^\W\d_]"
_TOKEN = re.compile(rf"{_LETTER}+(?:['-]{_LETTER}+)*'?|[.,!?;:—…()\"]")
_GIVEN = re.compile(r"\[([^\]\n]+)\]\(/([^/\n]+)/\)")  # [Kokoro](/kˈOkəɹO/)
_FIRST_GIVEN, _MAX_GIVEN = 0xE000, 6400  # the private characters that stand for pronunciations
_VOWELS = frozenset("AIOQWYaiuæɑɒɔəɛɜɪʊʌᵻ")
_CLOSING = frozenset(".,!?;:…)—”")


class EnglishPhonemizer:
    """American or British phonemes for English texts, with the dictionaries of a folder."""

    def __init__(self, folder: Path, is_british: bool = False):
        self.lexicon = EnglishLexicon(folder, is_british)

    def phonemize(self, text: str) -> str:
        """Return the phonemes of a text: words apart by spaces, with its punctuation; "" if nothing is spoken."""
        given: list[str] = []

        def keep(match: re.Match[str]) -> str:
            if len(given) == _MAX_GIVEN:
                return match[1]
            given.append(match[2])
            return f" {chr(_FIRST_GIVEN + len(given) - 1)} "

        return self.phonemize_expanded(expand_text(_GIVEN.sub(keep, text)), given)

    def phonemize_expanded(self, text: str, given: list[str]) -> str:
        """Return the phonemes of a text without numbers; `given` are pronunciations that private characters name."""
        tokens = re.findall(rf"[\ue000-\uf8ff]|{_TOKEN.pattern}", text)
        words = [token for token in tokens if token[0].isalpha()]
        parts: list[str] = []
        index = 0
        is_open = False
        for token in tokens:
            if (number := ord(token[0]) - _FIRST_GIVEN) in range(len(given)):
                parts.append(given[number])
            elif token == '"':
                is_open = not is_open
                parts.append("“" if is_open else "”")
            elif not token[0].isalpha():
                parts.append(token)
            else:
                parts.append(self._pronounce_in_context(words, index))
                index += 1
        return _join_parts([part for part in _choose_weak_forms(parts, self.lexicon.is_british) if part])

    def _pronounce_in_context(self, words: list[str], index: int) -> str:
        word = words[index]
        lower = word.lower()
        if lower in _WEAK:
            return f"<{lower}>"
        if word == "I":
            return "ˌI"
        if lower == "used" and index + 1 < len(words) and words[index + 1].lower() == "to":
            return "jˈust"
        stem = lower.rstrip("'") if lower not in ("'", "") else lower
        return self.lexicon.pronounce(word if stem == lower else word[: len(stem)], tag_word(words, index))


_WEAK = frozenset(["a", "an", "the", "to"])  # whose vowels depend on the next sound


def _choose_weak_forms(parts: list[str], is_british: bool) -> list[str]:
    """Return the parts with the articles and "to" as they are before what follows."""
    chosen: list[str] = []
    following = ""  # the sound after a part, "" at the end of a phrase
    for part in reversed(parts):
        is_vowel = following in _VOWELS and following != ""
        match part:
            case "<a>":
                part = "ɐ"
            case "<an>":
                part = "ɐn"
            case "<the>":
                part = "ði" if is_vowel else "ðə"
            case "<to>":
                part = "tʊ" if is_vowel else "tə" if following else "tuː" if is_british else "tu"
        chosen.append(part)
        following = "" if part in _CLOSING else part.lstrip("ˈˌ“(")[:1] or following
    return chosen[::-1]


def _join_parts(parts: list[str]) -> str:
    """Return words and punctuation with the spaces of ordinary writing."""
    text = ""
    for part in parts:
        is_attached = not text or part in _CLOSING or text[-1] in "(“"
        text += part if is_attached else f" {part}"
    return text.replace("ɾ", "T").replace("ʔ", "t")


@lru_cache(2)
def open_phonemizer(folder: Path, is_british: bool) -> EnglishPhonemizer:
    """Return the phonemizer of a folder, which is read once."""
    return EnglishPhonemizer(folder, is_british)
