"""Find and mask personal data: numbers with a checksum are found reliably, names only as best effort."""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable

SCRUB_KINDS = ("email", "phone", "card", "iban", "ip", "name")
EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w-])")
# Thirteen to nineteen digits, single blanks or hyphens between them; Luhn's checksum decides.
CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])")
# The longest has 34 characters. Capitals after a number match too, and are cut off again by the checksum.
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}+")
MIN_IBAN_CHARS = 15
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


def scrub_text(text: str, kinds: tuple[str, ...]) -> tuple[str, Counter[str]]:
    """Return the text with each match replaced by "[email]", "[phone]" and so on, and the number of each kind.

    Longer and more reliable patterns come first, so that a card number is not taken for a telephone number.
    """
    counts: Counter[str] = Counter()
    for kind in ("email", "iban", "card", "ip", "phone", "name"):
        if kind in kinds:
            text, count = SCRUBBERS[kind](text)
            if count:
                counts[kind] += count
    return text, counts


def _replace_matches(
    text: str, pattern: re.Pattern[str], kind: str, is_valid: Callable[[str], bool]
) -> tuple[str, int]:
    count = 0

    def replace_match(match: re.Match[str]) -> str:
        nonlocal count
        if not is_valid(match[0]):
            return match[0]
        count += 1
        return f"[{kind}]"

    return pattern.sub(replace_match, text), count


def _scrub_email(text: str) -> tuple[str, int]:
    return _replace_matches(text, EMAIL, "email", lambda match_text: True) if "@" in text else (text, 0)


def _scrub_card(text: str) -> tuple[str, int]:
    from stdnum import luhn

    def is_valid(match_text: str) -> bool:
        digits = re.sub(r"\D", "", match_text)
        return len(set(digits)) > 1 and luhn.is_valid(digits)

    return _replace_matches(text, CARD, "card", is_valid)


def _scrub_iban(text: str) -> tuple[str, int]:
    parts, last_end, match = [], 0, IBAN.search(text)
    while match:
        # A false match may end inside the number that follows, so that the search continues after its first letters.
        start, end = match.start(), _find_iban_end(text, match)
        if end:
            parts += [text[last_end:start], "[iban]"]
            last_end = end
        match = IBAN.search(text, end or start + 4)
    return "".join([*parts, text[last_end:]]), len(parts) // 2


def _find_iban_end(text: str, match: re.Match[str]) -> int:
    """Return the end of the number that begins with the match, at a blank or at its end; 0 if there is none."""
    from stdnum import iban

    start, end = match.span()
    if re.match(r"\w", text[end : end + 1]):
        end = text.rfind(" ", start, end)
    while end - start >= MIN_IBAN_CHARS:
        if iban.is_valid(text[start:end]):
            return end
        end = text.rfind(" ", start, end)
    return 0


def _scrub_ip(text: str) -> tuple[str, int]:
    def is_valid(match_text: str) -> bool:
        try:
            address = ipaddress.ip_address(match_text)
        except ValueError:
            return False
        # "::" and "::1" are common notation, and identify nobody.
        return not (address.is_loopback or address.is_unspecified)

    text, num_ipv4 = _replace_matches(text, IPV4, "ip", is_valid)
    text, num_ipv6 = _replace_matches(text, IPV6, "ip", is_valid) if ":" in text else (text, 0)
    return text, num_ipv4 + num_ipv6


def _scrub_phone(text: str) -> tuple[str, int]:
    def is_valid(match_text: str) -> bool:
        num_digits = len(re.sub(r"\D", "", match_text))
        return 7 <= num_digits <= 15 and not re.fullmatch(
            r"\d{4}[ .-]\d{2}[ .-]\d{2}|\d{2}[ .-]\d{2}[ .-]\d{4}", match_text
        )

    return _replace_matches(text, PHONE, "phone", is_valid)


def _scrub_name(text: str) -> tuple[str, int]:
    """Mask names that follow a title, a greeting, a signature or a mail header, and all their other occurrences."""
    names: set[str] = set()
    for cue in NAME_CUES:
        for match in cue.finditer(text):
            parts = [part for part in match[1].split() if part not in NOT_NAMES]
            if parts:
                names.add(" ".join(parts))
                names.update(part for part in parts if len(part) > 3 and part[0].isupper())
    if not names:
        return text, 0
    name_pattern = re.compile(r"\b(?:" + "|".join(sorted(map(re.escape, names), key=len, reverse=True)) + r")\b")
    return _replace_matches(text, name_pattern, "name", lambda match_text: True)


SCRUBBERS: dict[str, Callable[[str], tuple[str, int]]] = {
    "email": _scrub_email,
    "iban": _scrub_iban,
    "card": _scrub_card,
    "ip": _scrub_ip,
    "phone": _scrub_phone,
    "name": _scrub_name,
}
