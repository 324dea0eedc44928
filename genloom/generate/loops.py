"""Detection of texts that repeat themselves: a phrase again and again at the end, or one line many times."""

from collections import Counter

MAX_PERIOD = 240  # characters of a phrase
MIN_REPEATS, MIN_CHARS = 3, 80  # of a phrase, and of all its repetitions at the end of the text
MIN_CHARS_OF_MARKS = 240  # without a letter, as in a ruled line or a table
MIN_LINE_CHARS, MAX_EQUAL_LINES = 16, 5  # shorter lines are repeated in code and in lists


def has_loop(text: str) -> bool:
    """Return whether the text ends in a phrase that it repeats, or has a line too often; empty lines do not count."""
    return ends_in_loop(text) or has_repeated_line(text)


def ends_in_loop(text: str) -> bool:
    """Return whether the text ends in several equal phrases without anything between them."""
    for period in range(1, min(MAX_PERIOD, len(text) // MIN_REPEATS) + 1):
        phrase = text[-period:]
        if text[-2 * period : -period] != phrase:
            continue
        min_chars = MIN_CHARS if any(map(str.isalpha, phrase)) else MIN_CHARS_OF_MARKS
        repeats = max(MIN_REPEATS, -(-min_chars // period))
        if text.endswith(phrase * repeats):
            return True
    return False


def has_repeated_line(text: str) -> bool:
    """Return whether a finished line stands in the text more often than a refrain does."""
    lines = [line.strip() for line in text.split("\n")[:-1]]
    counts = Counter(line for line in lines if len(line) >= MIN_LINE_CHARS and any(map(str.isalpha, line)))
    return bool(counts) and max(counts.values()) > MAX_EQUAL_LINES
