"""Numbers with their nouns, as a sentence needs them."""


def format_count(count: int, noun: str, plural: str = "") -> str:
    """`1 rater`, `2 raters`; `2 entries` where the plural is given."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
