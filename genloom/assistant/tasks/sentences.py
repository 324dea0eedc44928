"""Sentences of a text."""

import re

# After a full stop a capital, a digit or a mark must follow, so that "e.g. this" stays whole.
_END = re.compile(r"(?<=[.!?…])[\"'”’»)\]]*(\s+)(?=[\"'“‘«(\[]*[A-ZÀ-ÖØ-ÞĀ-ŽА-ЯΑ-Ω0-9¿¡])|(?<=[。！？])|\n{2,}")
_ABBREVIATION = re.compile(r"(?:^|\s)(?:[A-ZÀ-Þ]|Mr|Mrs|Ms|Dr|Prof|St|No|Nr|vs|etc|cf|Fig|Art|Sec|M|Mme|Mlle)\.$")
MAX_SENTENCES = 20_000  # of one document


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text without the blanks between them."""
    return [sentence.strip() for sentence, _ in split_with_blanks(text) if sentence.strip()][:MAX_SENTENCES]


def split_with_blanks(text: str) -> list[tuple[str, str]]:
    """Return each sentence with the blanks that follow it; joined, they are the text."""
    found, start = [], 0
    for match in _END.finditer(text):
        blanks = match[1] or (match[0] if match[0].isspace() else "")
        end = match.end() - len(blanks)
        if _ABBREVIATION.search(text[start:end]) or end <= start:
            continue
        found.append((text[start:end], blanks))
        start = match.end()
    if start < len(text):
        found.append((text[start:], ""))
    return found
