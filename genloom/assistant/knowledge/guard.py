"""Instructions to the assistant that stand in documents (prompt injection), found by rules; and a safe quotation.

A document is data: its text stands between markers that cannot occur in it, tells nobody what to do, and runs no tool.
What reads like an instruction to the assistant is told to the user and not shown to the model. Rules find what is
written in the open, also in other alphabets, spaced out, encoded or invisible; vectors find some of what is said in
other words. Neither finds every such text, which is why nothing depends on them alone.

Shape letters: S sentences, E examples.

Greshake et al. 2023, "Not what you've signed up for: compromising real-world LLM-integrated applications with indirect
prompt injection".
"""

import base64
import binascii
import codecs
import hashlib
import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

MAX_EXCERPT_CHARS = 120
MAX_FINDINGS = 5  # of one text
MIN_LIKENESS = 0.55  # mean cosine to the two nearest examples; see docs/knowledge.md
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\u00ad\u034f]")
_TAGS = re.compile("[\U000e0020-\U000e007e]+")  # letters that nothing draws, which models read as text
_BASE64 = re.compile(r"(?<![\w+/=])[A-Za-z0-9+/]{24,}={0,2}(?![\w+/=])")
_HEX = re.compile(r"(?<!\w)(?:[0-9a-fA-F]{2}[ :]?){16,}(?!\w)")
_SPACED = re.compile(r"(?<!\w)(?:\w[ .\-_*]){5,}\w(?!\w)")
# Letters of other alphabets, and digits, that look like Latin ones.
_LOOKALIKES = str.maketrans(
    "аеорсухіјѕԁɡһӏԛԝѵκοαρντυιεχАВЕКМНОРСТХΑΒΕΗΙΚΜΝΟΡΤΧΥΖ", "aeopcyxijsdghlqwvkoapvtuiexABEKMHOPCTXABEHIKMNOPTXYZ"
)
_LEET = str.maketrans("013457@$", "oieastas")

REASONS = {
    "override": "it wants earlier instructions to be ignored or replaced",
    "role": "it holds the marks of a chat, as if it were a message of its own",
    "persona": "it wants to change who the assistant is",
    "assistant": "it speaks to the assistant",
    "output": "it says what the answer must be",
    "secrecy": "it wants something to be kept from the user",
    "disclosure": "it asks for the instructions, the conversation or data of the user",
    "tool": "it wants a tool to run, or something to be sent",
    "decode": "it wants hidden text to be decoded and followed",
    "hidden": "it holds text that nobody sees",
    "meaning": "it means about the same as orders to an assistant",
}

Embed = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class Instruction:
    """A place in a text that reads like an instruction to the assistant."""

    rule: str  # of REASONS
    excerpt: str

    @property
    def reason(self) -> str:
        return REASONS[self.rule]


def find_instructions(text: str) -> list[Instruction]:
    """Return the places in a text that read like instructions to the assistant, at most a few.

    The text is also read with its invisible characters removed and made visible, with letters of other alphabets that
    look Latin, with spaced out words joined, and decoded from base64, hexadecimal digits and rot13.
    """
    found: dict[str, Instruction] = {}
    for form in _iter_forms(text):
        for name, pattern in load_rules():
            if name not in found and (match := pattern.search(form)):
                found[name] = Instruction(name, _cut_excerpt(form, match.start(), match.end()))
        if len(found) >= MAX_FINDINGS:
            break
    if "hidden" not in found and (hidden := read_tags(text)):
        found["hidden"] = Instruction("hidden", hidden[:MAX_EXCERPT_CHARS])
    return list(found.values())[:MAX_FINDINGS]


@cache
def load_rules() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Return the rules: the name of each, and its expression."""
    table = tomllib.loads(Path(__file__).with_name("instructions.toml").read_text(encoding="utf-8"))
    rules = []
    for rule in table["rule"]:
        pattern = rule["pattern"]
        for name, part in table["parts"].items():
            pattern = pattern.replace(f"{{{name}}}", part)
        rules.append((rule["name"], re.compile(pattern, re.IGNORECASE)))
    return tuple(rules)


@cache
def load_examples() -> tuple[str, ...]:
    """Return sentences that give orders to an assistant, to compare others with."""
    table = tomllib.loads(Path(__file__).with_name("instructions.toml").read_text(encoding="utf-8"))
    return tuple(table["examples"])


def find_alike(sentences: Sequence[str], embed: Embed) -> list[Instruction]:
    """Return the first sentence that means about the same as an order to an assistant, as a list of one; else []."""
    if not sentences:
        return []
    likeness_SE = embed(sentences) @ embed(load_examples()).T
    nearest_S = np.sort(likeness_SE, 1)[:, -2:].mean(1)
    best = int(np.argmax(nearest_S))
    return [Instruction("meaning", _cut_excerpt(sentences[best], 0, 0))] if nearest_S[best] >= MIN_LIKENESS else []


def read_tags(text: str) -> str:
    """Return what is written in letters that nothing draws (Unicode tags); "" without any but those of flags."""
    runs = (match[0] for match in _TAGS.finditer(text))
    return " ".join("".join(chr(ord(c) - 0xE0000) for c in run) for run in runs if len(run) > 6)


def _iter_forms(text: str) -> Iterator[str]:
    """Yield the text as it is, and as it reads without the tricks that hide words."""
    plain = unicodedata.normalize("NFKC", _INVISIBLE.sub("", _TAGS.sub("", text)))
    yield plain
    if "\n" in plain:
        yield re.sub(r"(?<!\n)\n(?!\n)", " ", plain)  # of a text whose lines are broken
    if hidden := read_tags(text):
        yield hidden
    latin = plain.translate(_LOOKALIKES)
    if latin != plain:
        yield latin
    if _SPACED.search(plain):
        yield _SPACED.sub(lambda match: re.sub(r"[ .\-_*]", "", match[0]), plain)
        yield re.sub(r"(?<=\w)[ .\-_*](?=\w(?:[ .\-_*]|\b))", "", plain)
    leet = latin.translate(_LEET)
    if leet != latin and re.search(r"[a-z][013457@$][a-z]", latin, re.IGNORECASE):
        yield leet
    yield from _iter_decoded(plain)
    yield codecs.decode(plain, "rot13")
    yield plain[::-1]


def _iter_decoded(text: str) -> Iterator[str]:
    """Yield what base64 and hexadecimal digits in a text hold, if that is text."""
    for pattern, decode in ((_BASE64, _decode_base64), (_HEX, _decode_hex)):
        for match in list(pattern.finditer(text))[:20]:
            decoded = decode(match[0][:8192])
            if decoded and sum(c.isprintable() or c.isspace() for c in decoded) > 0.95 * len(decoded):
                yield decoded


def _decode_base64(code: str) -> str:
    try:
        return base64.b64decode(code + "=" * (-len(code) % 4), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return ""


def _decode_hex(code: str) -> str:
    try:
        return bytes.fromhex(code.replace(":", "").replace(" ", "")).decode("utf-8")
    except ValueError:
        return ""


def _cut_excerpt(text: str, begin: int, end: int) -> str:
    line = " ".join(text[begin : max(end, begin + MAX_EXCERPT_CHARS)].split())
    return line if len(line) <= MAX_EXCERPT_CHARS else f"{line[: MAX_EXCERPT_CHARS - 1]}…"


def choose_marker(texts: Sequence[str], question: str) -> str:
    """Return a word for the markers around quoted texts that occurs in none of them; the same for the same texts."""
    everything = "\x1e".join([*texts, question])
    number = 0
    while True:
        digest = hashlib.sha256(f"{number}\x1e{everything}".encode("utf-8", "replace")).hexdigest()[:8]
        if digest not in everything.casefold():
            return digest
        number += 1
