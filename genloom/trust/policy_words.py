"""The words of a text, and where the entries of a policy's lists are among them.

Words are compared in small letters, without accents and without the digits that stand for letters.
"""

import html
import itertools
import re
import sys
import unicodedata
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

_ADULT_AGE = 18
_MINOR_AGE, _FULL_NAME = "<minor_age>", "<full_name>"
_SPECIAL = (_MINOR_AGE, _FULL_NAME)
_WORD = re.compile(r"[^\W_]+(?:[@$][^\W_]+)*")
_LEET = str.maketrans("0134578@$", "oieastbas")
# Letters that look like those of the Latin alphabet: Cyrillic, Greek, small capitals, and letters with strokes.
_LOOK_ALIKES = str.maketrans(
    "аеорсхуікмтнвгѕјԁһӏαεοριυκντηχγβıøłđħŧɑɡᴀʙᴄᴅᴇғɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ",
    "aeopcxyikmthbrsjdhlaeopiukvtnxybioldhtagabcdefghijklmnoprstuvwyz",
)
_INVISIBLE = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # fillers, which are letters but not drawn
_PICTURES = {"\U0001f467": "little girl", "\U0001f466": "little boy", "\U0001f9d2": "child", "\U0001f476": "a baby"}
_DRAWN = str.maketrans({picture: f" {word} " for picture, word in _PICTURES.items()})
_LONG_RUN = re.compile(r"([^\W\d_])\1{2,}")
_YEARS = frozenset({"year", "years", "yr", "yrs", "jahre", "jahren"})
_OLD = frozenset({"old", "alt", "alte", "alter", "altes", "alten"})
# Years that are an age without "old": French, Spanish, Portuguese, Italian, Dutch, Scandinavian, Polish, Russian.
_YEARS_OF_AGE = ("ans", "anos", "anni", "jaar", "år", "lat", "лет")
_IDEOGRAPH = re.compile("([\u3040-\u30ff\u3400-\u9fff])")  # a word each, because no blanks stand between words
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,200}>|<!--.{0,200}?-->")
_ESCAPE = re.compile(r"\\(?:u\{?([0-9A-Fa-f]{4,6})\}?|x([0-9A-Fa-f]{2}))")
_SPELLED = re.compile(r"(?<!\w)(?:[^\W\d_] ){2,}[^\W\d_](?!\w)")
_CUT = re.compile(r"(?<=\w)(?:-\s*\n\s*|\\)(?=\w)")  # a word at the end of a line, or with a backslash in it
_BEFORE_AUTHORS = ("by", "von")
_BEFORE_AGES = frozenset({"age", "ages", "aged", "alter"})
_OF = frozenset({"of", "von"})
_YOUNG = frozenset({"girl", "girls", "boy", "boys", "daughter", "son", "maedchen", "junge", "jungen", "tochter"})
_AGE_INSIDE = re.compile(r"(\d{1,2})(?:yo|yr|yrs|y|jaehrig\w*)")
_ENGLISH_NUMBERS = (
    *("six", "seven", "eight", "nine", "ten", "eleven"),
    *("twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
)
_GERMAN_NUMBERS = (
    *("sechs", "sieben", "acht", "neun", "zehn", "elf"),
    *("zwoelf", "dreizehn", "vierzehn", "fuenfzehn", "sechzehn", "siebzehn"),
)
_NUMBER_WORDS = {word: n for words in (_ENGLISH_NUMBERS, _GERMAN_NUMBERS) for n, word in enumerate(words, start=6)}


@dataclass(frozen=True)
class _Span:
    """An entry of a list in a text: the positions of its first and its last word."""

    first: int
    last: int


class TextReader:
    """The words of a text, and where the entries of lists are among them."""

    def __init__(self, lists: Mapping[str, tuple[str, ...]], text: str):
        self.lists = lists
        raw_words = _split_words(text)
        self.words = [_fold_word(word) for word in raw_words]
        self.first_names = frozenset(map(_fold_word, lists.get("first_names", ())))
        self.names = self._find_names(raw_words)
        for span in self._find_list("harmless"):
            self.words[span.first : span.last + 1] = [""] * (span.last + 1 - span.first)
        self.spans: dict[str, list[_Span]] = {}

    def find_words(self, all: Sequence[str], none: Sequence[str] = (), window: int = 0) -> tuple[str, ...] | None:
        """Return one entry of each list in `all`, within so many words (0: anywhere); None if one of `none` occurs."""
        if self.has_entry(none):
            return None
        spans = [(span, number) for number, name in enumerate(all) for span in self._get_spans(name)]
        last_spans: dict[int, _Span] = {}  # the last one of each list so far, which is the nearest to what follows
        for span, number in sorted(spans, key=lambda pair: (pair[0].first, pair[1])):
            last_spans[number] = span
            if len(last_spans) < len(all):
                continue
            chosen = [last_spans[n] for n in range(len(all))]
            width = max(each.last for each in chosen) - min(each.first for each in chosen)
            if not window or width < window:
                return tuple(" ".join(self.words[each.first : each.last + 1]) for each in chosen)
        return None

    def has_entry(self, names: Sequence[str]) -> bool:
        """Return whether the text has an entry of one of these lists."""
        return any(self._get_spans(name) for name in names)

    def _get_spans(self, name: str) -> list[_Span]:
        if name not in self.spans:
            self.spans[name] = self._find_list(name)
        return self.spans[name]

    def _find_list(self, name: str) -> list[_Span]:
        """Return where entries of a list, or the entry itself, are in the text: the first of each position."""
        lookup, spans = _build_lookup(self.lists.get(name, (name,))), []
        for position, word in enumerate(self.words):
            candidates = [*lookup.closed.get(word, ()), *lookup.special]
            if word and lookup.prefixes is not None and lookup.prefixes.match(word):
                candidates += lookup.opened
            entry = next((entry for entry in candidates if self._has_entry(entry, position)), None)
            if entry is not None:
                spans.append(_Span(position, position + len(entry) - 1))
        return spans

    def _has_entry(self, entry: tuple[str, ...], position: int) -> bool:
        if entry == (_MINOR_AGE,):
            return self._is_minor_age(position)
        if entry == (_FULL_NAME,):
            return position in self.names
        words = self.words[position : position + len(entry)]
        return len(words) == len(entry) and all(map(_matches_pattern, words, entry))

    def _is_minor_age(self, position: int) -> bool:
        """Return whether an age below 18 is here: "12-year-old", "12yo", "age 12", "girl of 12", "12 Jahre alt"."""
        word = self.words[position]
        if (inside := _AGE_INSIDE.fullmatch(word)) is not None:
            return int(inside[1]) < _ADULT_AGE
        age = int(word) if word.isascii() and word.isdigit() and len(word) <= 2 else _NUMBER_WORDS.get(word, _ADULT_AGE)
        if age >= _ADULT_AGE:
            return False
        before = [word for word in self.words[max(position - 2, 0) : position] if word not in _OF][-1:]
        unit, old = [*self.words[position + 1 : position + 3], "", ""][:2]
        is_after = bool(before) and (before[0] in _BEFORE_AGES or before[0] in _YOUNG)
        if unit in {_fold_word(each) for each in _YEARS_OF_AGE}:
            return True
        return is_after or unit == "yo" or unit.startswith("jaehrig") or (unit in _YEARS and old in _OLD)

    def _find_names(self, raw_words: Sequence[str]) -> set[int]:
        """Return the positions of common first names before a word with a capital; not of authors, after "by"."""
        return {
            n
            for n, (first, second) in enumerate(itertools.pairwise(raw_words))
            if first[0].isupper()
            and second[0].isupper()
            and _fold_word(first) in self.first_names
            and not (n and raw_words[n - 1].lower() in _BEFORE_AUTHORS)
        }


def decode_text(text: str) -> str:
    """Return a text as a page, a program or a link shows it: without tags and escapes, and with single words.

    Names of programs such as drawNakedTree become words, as do letters with blanks between them.
    """
    text = html.unescape(_TAG.sub("", text))
    text = urllib.parse.unquote(text, errors="replace") if "%" in text else text
    text = _ESCAPE.sub(lambda match: _decode_character(match[1] or match[2]), text)
    text = _CUT.sub("", text)
    return _CAMEL.sub(" ", _SPELLED.sub(lambda match: match[0].replace(" ", ""), text))


def _decode_character(digits: str) -> str:
    number = int(digits, 16)
    return chr(number) if number <= sys.maxunicode else ""


def _split_words(text: str) -> list[str]:
    """Return the words of a text; characters that are not drawn are left out, single letters in a row are one word."""
    words: list[str] = []
    is_spelled = False
    for word in _WORD.findall(_remove_invisible(text)):
        is_letter = len(word) == 1 and word.isalpha() and not _IDEOGRAPH.match(word)
        if is_letter and is_spelled and words:
            words[-1] += word
        else:
            words.append(word)
        is_spelled = is_letter and (is_spelled or word not in "aAI")
    return words


def _remove_invisible(text: str) -> str:
    """Return a text in the compatible form of Unicode (NFKC), with words for some pictures and ideographs apart."""
    drawn = "".join(c for c in unicodedata.normalize("NFKC", text.translate(_DRAWN)) if not _is_invisible(c))
    return _IDEOGRAPH.sub(r" \1 ", drawn)


@lru_cache(maxsize=4096)
def _is_invisible(character: str) -> bool:
    """Return whether a character is drawn on another one, or not at all; spaces and line breaks are drawn."""
    is_hidden = unicodedata.category(character) in ("Cf", "Cc", "Mn", "Me")
    return character in _INVISIBLE or (is_hidden and not character.isspace())


@lru_cache(maxsize=20_000)
def _fold_word(word: str) -> str:
    """Return a word in small letters without accents, umlauts as two letters, and digits inside it as letters.

    Letters that only look like Latin ones are those; a letter that is repeated three times or more stands once.
    """
    word = word.casefold().translate(_LOOK_ALIKES)
    if len(set(word)) > 1:
        word = _LONG_RUN.sub(r"\1", word)
    for umlaut, letters in (("ä", "ae"), ("ö", "oe"), ("ü", "ue")):
        word = word.replace(umlaut, letters)
    word = "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))
    if word[:1].isalpha() and not word.isalpha():
        word = word.translate(_LEET)
    return word


def _matches_pattern(word: str, pattern: str) -> bool:
    return word.startswith(pattern[:-1]) if pattern.endswith("*") else word == pattern


@dataclass(frozen=True)
class _Lookup:
    """The entries of a list, by how their first word is found."""

    closed: Mapping[str, list[tuple[str, ...]]]  # by their first word
    opened: Sequence[tuple[str, ...]]  # those whose first word is a pattern
    prefixes: re.Pattern[str] | None  # of those; None: there are none
    special: Sequence[tuple[str, ...]]


@lru_cache(maxsize=256)
def _build_lookup(entries: tuple[str, ...]) -> _Lookup:
    closed: dict[str, list[tuple[str, ...]]] = {}
    opened, special = [], []
    for entry in map(parse_entry, entries):
        if entry[0] in _SPECIAL:
            special.append(entry)
        elif entry[0].endswith("*"):
            opened.append(entry)
        else:
            closed.setdefault(entry[0], []).append(entry)
    prefixes = re.compile("|".join(re.escape(entry[0][:-1]) for entry in opened)) if opened else None
    return _Lookup(closed, opened, prefixes, special)


@lru_cache(maxsize=20_000)
def parse_entry(text: str) -> tuple[str, ...]:
    """Return the words of an entry; one that ends in * is a pattern."""
    if text in _SPECIAL:
        return (text,)
    return tuple(_fold_word(word) + star for word, star in re.findall(r"([^\W_]+)(\*?)", _remove_invisible(text)))
