"""English texts as they are spoken: numbers, prices, times, dates, units, abbreviations and signs become words."""

import re
import tomllib
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

from genloom.speech.english_numbers import (
    spell_cardinal,
    spell_decade,
    spell_digits,
    spell_number,
    spell_ordinal,
    spell_year,
)

_WORDS: dict[str, Any] = tomllib.loads((Path(__file__).parent / "english.toml").read_text(encoding="utf-8"))
_MONTHS: list[str] = _WORDS["months"]
_SHORT_MONTHS = {name[:3]: name for name in _MONTHS} | {"Sept": "September"}
_DAYS, _ABBREVIATIONS = _WORDS["days"], _WORDS["abbreviations"]
_UNITS: dict[str, str] = _WORDS["units"]
_CURRENCIES, _CURRENCY_CODES, _SCALES = _WORDS["currencies"], _WORDS["currency_codes"], _WORDS["scales"]
_FRACTIONS, _PLURALS, _SIGNS = _WORDS["fractions"], _WORDS["plurals"], _WORDS["signs"]
_TYPOGRAPHY = str.maketrans(_WORDS["typography"])
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
_NEW_SENTENCE = re.compile(r"""["')]*\s+["'(]*[A-Z]""")

_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_MONTH = "|".join([*_MONTHS, *(f"{short}\\.?" for short in _SHORT_MONTHS if short != "May")])
_UNIT = "|".join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))
_RULERS = "|".join(_WORDS["rulers"])
_CURRENCY = "[" + "".join(_CURRENCIES) + "]"


def expand_text(text: str) -> str:
    """Return a text in which everything that is spoken consists of letters, apostrophes and hyphens."""
    text = unicodedata.normalize("NFC", text).translate(_TYPOGRAPHY)
    for pattern, replace in _RULES:
        text = pattern.sub(replace, text)
    for sign, words in _SIGNS.items():
        text = text.replace(sign, words)
    return " ".join(re.sub(r"\s+([,.;:!?…)])", r"\1", text).split())


def count_unread_letters(text: str) -> int:
    """Return how many letters of a text are of other scripts than the Latin one: they are not spoken."""
    return sum(c.isalpha() and not c.isascii() and "LATIN" not in unicodedata.name(c, "") for c in text)


def _read_month(name: str) -> str:
    return _SHORT_MONTHS.get(name.rstrip("."), name.rstrip("."))


def _read_year(text: str | None) -> str:
    return f", {spell_year(int(text))}" if text else ""


def _expand_iso_date(match: re.Match[str]) -> str:
    year, month, day = (int(part) for part in match.groups())
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return match[0]
    return f"{_MONTHS[month - 1]} {spell_ordinal(day)}, {spell_year(year)}"


def _expand_month_day(match: re.Match[str]) -> str:
    day = int(match[2])
    return match[0] if not 1 <= day <= 31 else f"{_read_month(match[1])} {spell_ordinal(day)}{_read_year(match[3])}"


def _expand_day_month(match: re.Match[str]) -> str:
    day = int(match[2])
    if not 1 <= day <= 31:
        return match[0]
    article = match[1] if match[1] else "the "
    return f"{article}{spell_ordinal(day)} of {_read_month(match[3])}{_read_year(match[4])}"


def _expand_time(match: re.Match[str]) -> str:
    hour, minute, second, half = int(match[1]), int(match[2]), match[3], match[4]
    if hour > 24 or minute > 59:
        return match[0]
    words = spell_cardinal(hour)
    if minute:
        words += f" {'oh ' if minute < 10 else ''}{spell_cardinal(minute)}"
    elif not half:
        words += " o'clock" if 1 <= hour <= 12 else " hundred hours"
    if second:
        words += f" and {spell_cardinal(int(second))} seconds"
    return words + _read_half(half) + _read_end(match)


def _read_half(text: str | None) -> str:
    return f" {text[0].upper()} M" if text else ""


def _read_end(match: re.Match[str]) -> str:
    """Return the full stop of an abbreviation that also ends its sentence."""
    rest = match.string[match.end() :]
    return "." if match[0].endswith(".") and (not rest.strip() or _NEW_SENTENCE.match(rest)) else ""


def _expand_hour(match: re.Match[str]) -> str:
    return spell_cardinal(int(match[1])) + _read_half(match[2]) + _read_end(match)


def _expand_money(match: re.Match[str]) -> str:
    one, many, small, smalls = _CURRENCIES[match[1]]
    amount, scale = match[2].replace(",", ""), match[3]
    if scale:
        scale = _SCALES.get(scale.strip().lower(), scale.strip())
        return f"{spell_number(amount)} {scale} {many}"
    whole, _, decimals = amount.partition(".")
    if decimals and len(decimals) != 2:
        return f"{spell_number(amount)} {many}"
    units, cents = int(whole or "0"), int(decimals or "0")
    parts = [f"{spell_cardinal(units)} {one if units == 1 else many}"] if units or not cents else []
    parts += [f"{spell_cardinal(cents)} {small if cents == 1 else smalls}"] if cents else []
    return " and ".join(parts)


def _expand_unit(match: re.Match[str]) -> str:
    number, unit = match[1], _UNITS[match[2]]
    first, _, rest = unit.partition(" per ") if " per " in unit else (unit, "", "")
    head, _, last = first.rpartition(" ") if not first.startswith("degree") else ("", "", first)
    if number.replace(",", "") != "1":
        if last.startswith("degree"):
            last = last.replace("degree", "degrees", 1)
        else:
            last = _PLURALS.get(last, f"{last}s")
    words = " ".join(filter(None, (head, last))) + (f" per {rest}" if rest else "")
    return f"{spell_number(number)} {words}"


def _expand_abbreviation(match: re.Match[str]) -> str:
    word, dot = match[1], match[2]
    key = word.lower()
    if key == "st":  # a saint before a name, a street after one
        if not dot:
            return match[0]
        return "saint" if re.match(r"\s+[A-Z]", match.string[match.end() :]) and not _follows_name(match) else "street"
    if key == "no":
        return "number" if dot and re.match(r"\s*\d", match.string[match.end() :]) else match[0]
    if key not in _ABBREVIATIONS or (not dot and ("." in key or key in _WORDS["words_without_full_stop"])):
        return match[0]
    return _ABBREVIATIONS[key] + ("" if key in _WORDS["never_last"] else _read_end(match))


def _follows_name(match: re.Match[str]) -> bool:
    return re.search(r"[A-Z][a-z]+\s+$", match.string[: match.start()]) is not None


def _expand_roman(match: re.Match[str]) -> str:
    values = [_ROMAN[c] for c in match[2]]
    pairs = zip(values, [*values[1:], 0], strict=True)
    number = sum(-value if value < following else value for value, following in pairs)
    is_ruler = re.fullmatch(_RULERS, match[1].strip()) is not None
    return f"{match[1]}{'the ' + spell_ordinal(number) if is_ruler else spell_cardinal(number)}"


def _expand_fraction(match: re.Match[str]) -> str:
    top, bottom = int(match[1]), int(match[2])
    if bottom == 0 or top >= bottom or bottom > 20:
        return f"{spell_cardinal(top)} {spell_cardinal(bottom)}" if (top, bottom) == (24, 7) else match[0]
    if bottom == 2:
        return "a half" if top == 1 else f"{spell_cardinal(top)} halves"
    name = "quarter" if bottom == 4 else spell_ordinal(bottom)
    return f"{'a' if top == 1 and bottom == 4 else spell_cardinal(top)} {name}{'s' if top > 1 else ''}"


def _expand_link(match: re.Match[str]) -> str:
    text = re.sub(r"^(?:https?://)?(?:www\.)?", "", match[0].rstrip("/"))
    return re.sub(r"[-_?=&#%]", " ", text).replace(".", " dot ").replace("/", " slash ").replace("@", " at ")


def _expand_letters(match: re.Match[str]) -> str:
    return " ".join(match[0].replace(".", ""))


_RULES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"https?://[^\s<>()]*[\w/]|\bwww\.[^\s<>()]*[\w/]"), _expand_link),
    (re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b"), _expand_link),
    (re.compile(r"\b[a-z0-9-]+\.(?:com|org|net|io|edu|gov|co\.uk|de|dev)\b(?!\w)"), _expand_link),
    (re.compile(r"\b(USD|GBP|EUR|JPY|INR) ?(?=\d)"), lambda m: _CURRENCY_CODES[m[1]]),
    (re.compile(rf"\b({'|'.join(_DAYS)})\."), lambda m: _DAYS[m[1]]),
    (re.compile(r"\b(\d{4})-(\d\d)-(\d\d)\b"), _expand_iso_date),
    (re.compile(rf"\b({_MONTH}) (\d{{1,2}})(?:st|nd|rd|th)?\b(?:,? (\d{{4}})\b)?(?![:.,]?\d)"), _expand_month_day),
    (
        re.compile(rf"(\b[Tt]he |\b[Tt]his )?\b(\d{{1,2}})(?:st|nd|rd|th)?(?: of)? ({_MONTH})\b(?:,? (\d{{4}})\b)?"),
        _expand_day_month,
    ),
    (re.compile(r"\b(\d{1,2}):(\d\d)(?::(\d\d))?(?: ?([ap])\.?m\b\.?(?=\W|$))?", re.IGNORECASE), _expand_time),
    (re.compile(r"\b(\d{1,2}) ?([ap])\.?m\b\.?(?=\W|$)", re.IGNORECASE), _expand_hour),
    (
        re.compile(rf"({_CURRENCY}) ?({_NUMBER})( ?(?:million|billion|trillion|thousand|[kK]|[mM]|[mb]n|bn|tn)\b)?"),
        _expand_money,
    ),
    (
        re.compile(r"(?<![\w.])([A-Za-z]\.[A-Za-z](?:\.[A-Za-z])?|Ph\.D|[A-Za-z]{2,6})(\.)?(?![\w'])"),
        _expand_abbreviation,
    ),
    (re.compile(r"\b(?:[A-Z]\.){2,}"), _expand_letters),
    (
        re.compile(
            rf"\b((?:{_RULERS}|Chapter|Part|War|Act|Volume|Book|Section|Scene|Phase|Type|Mark|Title) )([IVX]{{1,6}})\b"
        ),
        _expand_roman,
    ),
    (re.compile(r"(\d) ?([½⅓⅔¼¾⅛])"), lambda m: f"{m[1]} and {_FRACTIONS[m[2]]}"),
    (re.compile("[½⅓⅔¼¾⅛]"), lambda m: _FRACTIONS[m[0]]),
    (re.compile(r"\b(\d{1,2})/(\d{1,2})\b(?!/)"), _expand_fraction),
    (re.compile(r"\b(\d{3})-(\d{3})-(\d{4})\b|\b(\d{3})-(\d{4})\b"), lambda m: spell_digits(m[0])),
    (re.compile(r"\b([1-9]\d\d0|[1-9]\d00)s\b"), lambda m: spell_decade(int(m[1]))),
    (re.compile(r"'([2-9])0s\b"), lambda m: spell_decade(int(m[1]) * 10)),
    (re.compile(r"\b(\d+)(?:st|nd|rd|th)\b"), lambda m: spell_ordinal(int(m[1]))),
    (
        re.compile(r"(?<![\w,.])(1[1-9]\d\d|20\d\d) ?[-–] ?(1[1-9]\d\d|20\d\d|\d\d)\b(?![,.]?\d)"),
        lambda m: f"{spell_year(int(m[1]))} to {spell_year(int(m[2]))}",
    ),
    (re.compile(r"(?<=\d) ?[-–] ?(?=[$£€]?\d)"), " to "),
    (re.compile(rf"(?<![\w.])(-?(?:{_NUMBER})) ?({_UNIT})(?![\w/²³])(?:\.(?=\s+[a-z]))?"), _expand_unit),
    (re.compile(r"(?<![\w,.$£€-])(1[1-9]\d\d|20\d\d)\b(?!,?\d|\.\d)"), lambda m: spell_year(int(m[1]))),
    (re.compile(rf"(?<![\w])([+-](?=\d))?({_NUMBER})(?= ?x ?\d)"), lambda m: f"{spell_number(m[0])} by "),
    (re.compile(r"(?<=by ) ?x ?(?=\d)"), ""),
    (re.compile(r"(?<=[A-Za-z])-?(\d+(?:\.\d+)?)"), lambda m: f" {spell_number(m[1])} "),
    (re.compile(rf"(?<![\w])([+-](?=\d))?({_NUMBER})"), lambda m: f" {spell_number(m[0])} "),
    (re.compile(r"\d+(?:\.\d+)?"), lambda m: f" {spell_number(m[0])} "),
    (re.compile(r"\s[-–](?=\s)"), " —"),
    (re.compile(r"–"), " — "),
    (re.compile(r"\s+([,.;:!?])"), r"\1"),
    (re.compile(r"([!?])[!?]+"), r"\1"),
    (re.compile(r"\.{3,}"), "…"),
)
