"""Conditions of the index in SQL: a day, words, a rating."""

import re
from datetime import date
from typing import Any

from genloom.server.errors import APIError
from genloom.server.index_rows import is_date


def to_first_number(moment: str, days: int) -> int | None:
    """Return the first number of a day so many days after a moment; None without one."""
    if not is_date(moment[:10]):
        return None
    return (date.fromisoformat(moment[:10]).toordinal() + days) << 30


def match_words(text: str) -> tuple[str, str]:
    """Return the condition for all words of a text, the last of which may be the beginning of one."""
    words = re.findall(r"\w+", text)
    if not words or not all(word.isascii() or word[0].lower() != word[0].upper() for word in words):
        return "instr(outputs.prompt, ?) > 0", text  # scripts without spaces
    query = " ".join(f'"{word}"*' for word in words[:20])
    return "words MATCH ?", query


def match_rating(rating: str, rater: str) -> tuple[str, list[Any]]:
    chosen = "id {} (SELECT output FROM ratings WHERE is_current AND rater = ? AND {})"
    match rating:
        case "up":
            return chosen.format("IN", "(scale = 'thumb' AND value = 1 OR scale = 'stars' AND value >= 4)"), [rater]
        case "down":
            return chosen.format("IN", "(scale = 'thumb' AND value = -1 OR scale = 'stars' AND value <= 2)"), [rater]
        case "none":
            return chosen.format("NOT IN", "scale != 'note'"), [rater]
        case "1" | "2" | "3" | "4" | "5":
            return chosen.format("IN", "scale = 'stars' AND value = ?"), [rater, int(rating)]
    raise APIError("server.bad_value", param="rating", place="rating", reason="it is up, down, none or 1 to 5")
