"""Blanks out personal data: what has a checksum is found surely, names only as best effort."""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable

EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w-])")
# Thirteen to nineteen digits, single blanks or hyphens between them; Luhn's checksum decides.
CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])")
# The longest has 34 signs. What follows a number in capitals is taken along, and cut off again by the checksum.
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}+")
IBAN_AT_LEAST = 15  # signs
IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])")
# An international number, one with an area code in brackets or after 0, or the American 3-3-4 grouping.
PHONE = re.compile(
    r"(?<![\w.,/+-])(?:\+\d{1,3}[ .-]?(?:\(0?\d{1,5}\)[ .-]?)?\d{1,5}(?:[ .-]?\d{2,5}){1,4}"
    r"|\(\d{2,5}\)[ .-]?\d{2,5}(?:[ .-]?\d{2,5}){1,3}"
    r"|0\d{1,4}[ /-]\d{2,5}(?:[ -]?\d{2,5}){1,3}"
    r"|\d{3}[ .-]\d{3}[ .-]\d{4})(?![\w-]|[.,]\d)"
)
_PART = r"[^\W\d_a-z][^\W\d_]+(?:['’-][^\W\d_]+)*"
_NAME = rf"({_PART}(?: (?:(?:de|del|di|van|von|der|la|le|bin|al)[ -])*(?:[A-Z]\. )?{_PART}){{0,2}})"
NAME_CUES = [
    re.compile(rf"\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Herr|Frau|Monsieur|Madame|Mme|Señor|Señora)\b\.? {_NAME}"),
    re.compile(rf"\b(?:[Mm]y name is|I am called|[Ii]ch heiße|[Jj]e m['’]appelle|[Mm]e llamo) {_NAME}"),
    re.compile(rf"^(?:Dear|Hi|Hello|Liebe|Lieber|Cher|Chère|Querida|Querido) {_NAME}(?=[,!:\n])", re.MULTILINE),
    re.compile(
        rf"^(?:(?:[Bb]est|[Kk]ind|[Ww]arm) )?(?:[Rr]egards|wishes|[Ss]incerely|Cheers|Yours|Love),?\n+{_NAME}(?=\n|\Z)",
        re.MULTILINE,
    ),
    re.compile(rf"^(?:From|To|Cc|Author|Name|Signed|Von|An): *\"?{_NAME}", re.MULTILINE),
]
NOT_NAMES = {"Sir", "Madam", "All", "Team", "Everyone", "Friends", "Reader", "Readers", "Customer", "Colleagues", "The"}


def scrub(text: str, kinds: tuple[str, ...]) -> tuple[str, Counter[str]]:
    """The text with each find replaced by "[email]", "[phone]" and so on, and how many of each kind there were.

    Longer, surer patterns go first, so that a card number is not taken for a telephone's."""
    counts: Counter[str] = Counter()
    for kind in ("email", "iban", "card", "ip", "phone", "name"):
        if kind in kinds:
            text, found = FINDERS[kind](text)
            if found:
                counts[kind] += found
    return text, counts


def _replace(text: str, pattern: re.Pattern[str], kind: str, holds: Callable[[str], bool]) -> tuple[str, int]:
    found = 0

    def blank(match: re.Match[str]) -> str:
        nonlocal found
        if not holds(match[0]):
            return match[0]
        found += 1
        return f"[{kind}]"

    return pattern.sub(blank, text), found


def _email(text: str) -> tuple[str, int]:
    return _replace(text, EMAIL, "email", lambda found: True) if "@" in text else (text, 0)


def _card(text: str) -> tuple[str, int]:
    from stdnum import luhn

    def holds(found: str) -> bool:
        digits = re.sub(r"\D", "", found)
        return len(set(digits)) > 1 and luhn.is_valid(digits)

    return _replace(text, CARD, "card", holds)


def _iban(text: str) -> tuple[str, int]:
    parts, done, match = [], 0, IBAN.search(text)
    while match:
        # What only looked like one may end inside the number that follows, so that the search goes on after its head.
        start, end = match.start(), _iban_end(text, match)
        if end:
            parts += [text[done:start], "[iban]"]
            done = end
        match = IBAN.search(text, end or start + 4)
    return "".join([*parts, text[done:]]), len(parts) // 2


def _iban_end(text: str, match: re.Match[str]) -> int:
    """Where the number ends that begins with the match, at a blank or at its end; 0 where there is none."""
    from stdnum import iban

    start, end = match.span()
    if re.match(r"\w", text[end : end + 1]):
        end = text.rfind(" ", start, end)
    while end - start >= IBAN_AT_LEAST:
        if iban.is_valid(text[start:end]):
            return end
        end = text.rfind(" ", start, end)
    return 0


def _ip(text: str) -> tuple[str, int]:
    def holds(found: str) -> bool:
        try:
            address = ipaddress.ip_address(found)
        except ValueError:
            return False
        # "::" and "::1" are notation in many a text, and point to nobody.
        return not (address.is_loopback or address.is_unspecified)

    text, four = _replace(text, IPV4, "ip", holds)
    text, six = _replace(text, IPV6, "ip", holds) if ":" in text else (text, 0)
    return text, four + six


def _phone(text: str) -> tuple[str, int]:
    def holds(found: str) -> bool:
        digits = len(re.sub(r"\D", "", found))
        return 7 <= digits <= 15 and not re.fullmatch(r"\d{4}[ .-]\d{2}[ .-]\d{2}|\d{2}[ .-]\d{2}[ .-]\d{4}", found)

    return _replace(text, PHONE, "phone", holds)


def _name(text: str) -> tuple[str, int]:
    """Names that a title, a greeting, a signature or a mail header gives away, and all their further mentions."""
    names: set[str] = set()
    for cue in NAME_CUES:
        for match in cue.finditer(text):
            parts = [part for part in match[1].split() if part not in NOT_NAMES]
            if parts:
                names.add(" ".join(parts))
                names.update(part for part in parts if len(part) > 3 and part[0].isupper())
    if not names:
        return text, 0
    known = re.compile(r"\b(?:" + "|".join(sorted(map(re.escape, names), key=len, reverse=True)) + r")\b")
    return _replace(text, known, "name", lambda found: True)


FINDERS: dict[str, Callable[[str], tuple[str, int]]] = {
    "email": _email,
    "iban": _iban,
    "card": _card,
    "ip": _ip,
    "phone": _phone,
    "name": _name,
}
