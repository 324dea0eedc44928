"""Content rules: which texts are refused, warned of or logged, by combinations of words.

The package's policy.toml holds the rules that the law of many countries demands; policy.toml of a workspace adds rules
and lists of its own. A rule applies if a text has, close together, an entry of each of its lists, and none of its
exceptions. Words are compared in small letters, without accents and without the digits that stand for letters.
"""

import hashlib
import itertools
import re
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from genloom.errors import GenloomError
from genloom.settings import MAX_RECIPE_BYTES, option, parse_settings, to_toml

Action = Literal["refuse", "warn", "log"]
Target = Literal["prompt", "output"]

POLICY_FILE = "policy.toml"  # in the workspace
DEFAULT_FILE = Path(__file__).with_name(POLICY_FILE)
MAX_WINDOW = 1000
_SEVERITY: Mapping[str, int] = {"refuse": 0, "warn": 1, "log": 2}
_MAX_CHARS = 200_000  # of a text; what follows is not read
_ADULT_AGE = 18
_MINOR_AGE, _FULL_NAME = "<minor_age>", "<full_name>"
_SPECIAL = (_MINOR_AGE, _FULL_NAME)
_WORD = re.compile(r"[^\W_]+(?:[@$][^\W_]+)*")
_LEET = str.maketrans("0134578@$", "oieastbas")
_YEARS = frozenset({"year", "years", "yr", "yrs", "jahre", "jahren"})
_OLD = frozenset({"old", "alt", "alte", "alter", "altes", "alten"})
_BEFORE_AUTHORS = ("by", "von")
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
class Rule:
    """A table [rules.NAME] of a policy file."""

    name: str = ""  # its key in the file
    action: Action = option("refuse", "What is done: refuse, warn or log.", choices=("refuse", "warn", "log"))
    reason: str = option("", "What the rule is about, for people.")
    all: tuple[str, ...] = option((), "Lists, or words, of each of which the text has an entry.")
    none: tuple[str, ...] = option((), "Lists, or words, of which the text has no entry.")
    window: int = option(0, "Words within which the entries lie. 0: anywhere.", minimum=0, maximum=MAX_WINDOW)
    on: tuple[Target, ...] = option(("prompt", "output"), "What is read: prompt, output or both.")
    is_fixed: bool = option(False, "Whether a workspace cannot replace the rule; only the package's rules can be so.")


@dataclass(frozen=True)
class PolicySettings:
    """The table [settings] of a policy file."""

    log_text: bool = option(False, "Whether the ledger keeps the text that a rule applied to, besides its SHA-256.")


@dataclass(frozen=True)
class ContentPolicy:
    """The rules that hold in a workspace, and the lists of words that they name."""

    rules: Mapping[str, Rule]
    lists: Mapping[str, tuple[str, ...]]
    settings: PolicySettings

    def to_json(self) -> dict[str, Any]:
        """Return the rules as JSON values."""
        rules = {name: {f.name: getattr(rule, f.name) for f in fields(Rule)[1:]} for name, rule in self.rules.items()}
        return {"rules": rules, "settings": {"log_text": self.settings.log_text}}


@dataclass(frozen=True)
class Decision:
    """A rule that applies to a text, with the words that it found."""

    rule: str
    action: Action
    reason: str
    words: tuple[str, ...]  # one entry of each list, as the text has it in small letters

    def to_json(self) -> dict[str, Any]:
        """Return the decision as JSON values."""
        return {"rule": self.rule, "action": self.action, "reason": self.reason, "words": list(self.words)}


@dataclass(frozen=True)
class _Span:
    """An entry of a list in a text: the positions of its first and its last word."""

    first: int
    last: int


# Files


def load_policy(root: Path) -> ContentPolicy:
    """Return the rules of a workspace: the package's, and those of its policy.toml.

    Raise GenloomError: trust.bad_policy for a file that cannot be read or a setting that does not exist,
    trust.fixed_rule for one that replaces a rule of the law.
    """
    path = root / POLICY_FILE
    try:
        state = path.stat()
    except FileNotFoundError:
        return _load_files(path, None)
    except OSError as error:
        raise GenloomError("trust.bad_policy", path=path, reason=error.strerror or error) from None
    return _load_files(path, (state.st_mtime_ns, state.st_size))


@lru_cache(maxsize=16)
def _load_files(path: Path, state: tuple[int, int] | None) -> ContentPolicy:
    default = _parse_file(DEFAULT_FILE)
    if state is None:
        return default
    own = _parse_file(path, default)
    if fixed := [name for name, rule in default.rules.items() if rule.is_fixed and name in own.rules]:
        raise GenloomError("trust.fixed_rule", path=path, rule=fixed[0], reason=default.rules[fixed[0]].reason)
    return ContentPolicy({**default.rules, **own.rules}, {**default.lists, **own.lists}, own.settings)


def _parse_file(path: Path, default: ContentPolicy | None = None) -> ContentPolicy:
    """Return the rules of one file; with `default`, those of a workspace, which may name the lists of the default."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_RECIPE_BYTES + 1)
        if len(content) > MAX_RECIPE_BYTES:
            raise ValueError(f"it is larger than {MAX_RECIPE_BYTES:,} bytes")
        return _parse_tables(tomllib.loads(content.decode("utf-8")), default)
    except (OSError, ValueError) as error:  # invalid UTF-8 or TOML is a ValueError
        raise GenloomError("trust.bad_policy", path=path, reason=error) from None


def _parse_tables(tables: Mapping[str, Any], default: ContentPolicy | None) -> ContentPolicy:
    if unknown := sorted(tables.keys() - {"rules", "lists", "settings"}):
        raise ValueError(f"it has [{unknown[0]}], where [rules.NAME], [lists] and [settings] are known")
    for name in ("rules", "lists", "settings"):
        if not isinstance(tables.get(name, {}), Mapping):
            raise ValueError(f"{name} must be a table, [{name}]")
    lists: dict[str, tuple[str, ...]] = {}
    for name, entries in tables.get("lists", {}).items():
        if not isinstance(entries, list) or not all(isinstance(each, str) and _parse_entry(each) for each in entries):
            raise ValueError(f"lists.{name} must be a list of words")
        if default is not None and name in default.lists:
            raise ValueError(f"lists.{name} is a list of the package. Give yours another name")
        lists[name] = tuple(entries)
    known_lists = {*lists, *(default.lists if default else ())}
    rules = {}
    for name, table in tables.get("rules", {}).items():
        if not isinstance(table, Mapping):
            raise ValueError(f"rules.{name} must be a table, [rules.{name}]")
        rule = parse_settings(Rule, {**table, "name": name}, f"rules.{name}")
        if not rule.all:
            raise ValueError(f"rules.{name}.all names no list and no word")
        if rule.is_fixed and default is not None:
            raise ValueError(f"rules.{name}.is_fixed is for the package's rules")
        for entry in (*rule.all, *rule.none):
            if entry not in known_lists and not _parse_entry(entry):
                raise ValueError(f"rules.{name} has an entry without a word: {entry!r}")
        rules[name] = rule
    return ContentPolicy(rules, lists, parse_settings(PolicySettings, tables.get("settings", {}), "settings"))


def write_template(root: Path) -> Path:
    """Write a policy.toml with an example to a workspace; raise trust.policy_exists if there is one."""
    path = root / POLICY_FILE
    root.mkdir(parents=True, exist_ok=True)
    example = {
        "settings": {"log_text": False},
        "rules": {
            "our-project": {"action": "log", "reason": "names of our project", "all": ["project"], "on": ["prompt"]}
        },
        "lists": {"project": ["project nightingale", "nightingale*"]},
    }
    header = "# Content rules of this workspace, besides those of Genloom (genloom policy show). See docs/trust.md.\n\n"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(header + to_toml(example))
    except FileExistsError:
        raise GenloomError("trust.policy_exists", path=path) from None
    return path


# Decisions


def check_text(policy: ContentPolicy, text: str, target: Target = "prompt") -> list[Decision]:
    """Return the rules that apply to a text, the strictest first."""
    reader = _TextReader(policy, text[:_MAX_CHARS])
    decisions = []
    for name, rule in policy.rules.items():
        if target in rule.on and (words := reader.find_words(rule)) is not None:
            decisions.append(Decision(name, rule.action, rule.reason or name, words))
    return sorted(decisions, key=lambda decision: _SEVERITY[decision.action])


def hash_text(text: str) -> str:
    """Return the SHA-256 of a text, by which the ledger names it."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class _TextReader:
    """The words of a text, and where the entries of lists are among them."""

    def __init__(self, policy: ContentPolicy, text: str):
        self.policy = policy
        raw_words = _split_words(text)
        self.words = [_fold_word(word) for word in raw_words]
        self.first_names = frozenset(map(_fold_word, policy.lists.get("first_names", ())))
        self.names = self._find_names(raw_words)
        for span in self._find_list("harmless"):
            self.words[span.first : span.last + 1] = [""] * (span.last + 1 - span.first)
        self.spans: dict[str, list[_Span]] = {}

    def find_words(self, rule: Rule) -> tuple[str, ...] | None:
        """Return one entry of each list of a rule that applies; None if it does not."""
        if any(self._get_spans(name) for name in rule.none):
            return None
        spans = [(span, number) for number, name in enumerate(rule.all) for span in self._get_spans(name)]
        last_spans: dict[int, _Span] = {}  # the last one of each list so far, which is the nearest to what follows
        for span, number in sorted(spans, key=lambda pair: (pair[0].first, pair[1])):
            last_spans[number] = span
            if len(last_spans) < len(rule.all):
                continue
            chosen = [last_spans[n] for n in range(len(rule.all))]
            width = max(each.last for each in chosen) - min(each.first for each in chosen)
            if not rule.window or width < rule.window:
                return tuple(" ".join(self.words[each.first : each.last + 1]) for each in chosen)
        return None

    def _get_spans(self, name: str) -> list[_Span]:
        if name not in self.spans:
            self.spans[name] = self._find_list(name)
        return self.spans[name]

    def _find_list(self, name: str) -> list[_Span]:
        """Return where entries of a list, or the entry itself, are in the text: the first of each position."""
        lookup, spans = _build_lookup(self.policy.lists.get(name, (name,))), []
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
        """Return whether an age below 18 is here: "12-year-old", "12yo", "aged 12", "12 Jahre alt" or "12-jährig"."""
        word = self.words[position]
        if (inside := _AGE_INSIDE.fullmatch(word)) is not None:
            return int(inside[1]) < _ADULT_AGE
        age = int(word) if word.isascii() and word.isdigit() and len(word) <= 2 else _NUMBER_WORDS.get(word, _ADULT_AGE)
        if age >= _ADULT_AGE:
            return False
        before, (unit, old) = self.words[:position][-1:], [*self.words[position + 1 : position + 3], "", ""][:2]
        return before == ["aged"] or unit == "yo" or unit.startswith("jaehrig") or (unit in _YEARS and old in _OLD)

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


def _split_words(text: str) -> list[str]:
    """Return the words of a text; characters of no width are left out, single letters in a row are one word."""
    text = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
    words: list[str] = []
    is_spelled = False
    for word in _WORD.findall(text):
        is_letter = len(word) == 1 and word.isalpha()
        if is_letter and is_spelled and words:
            words[-1] += word
        else:
            words.append(word)
        is_spelled = is_letter and (is_spelled or word not in "aAI")
    return words


@lru_cache(maxsize=20_000)
def _fold_word(word: str) -> str:
    """Return a word in small letters without accents, umlauts as two letters, and digits inside it as letters."""
    word = word.casefold()
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
    for entry in map(_parse_entry, entries):
        if entry[0] in _SPECIAL:
            special.append(entry)
        elif entry[0].endswith("*"):
            opened.append(entry)
        else:
            closed.setdefault(entry[0], []).append(entry)
    prefixes = re.compile("|".join(re.escape(entry[0][:-1]) for entry in opened)) if opened else None
    return _Lookup(closed, opened, prefixes, special)


@lru_cache(maxsize=20_000)
def _parse_entry(text: str) -> tuple[str, ...]:
    """Return the words of an entry; one that ends in * is a pattern."""
    if text in _SPECIAL:
        return (text,)
    return tuple(_fold_word(word) + star for word, star in re.findall(r"([^\W_]+)(\*?)", text))
