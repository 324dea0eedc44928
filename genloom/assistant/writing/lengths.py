"""Lengths of texts: a name or a number of words becomes words in the prompt, and a limit of tokens."""

from genloom.assistant.prompts.prompt import MAX_WORDS, Prompt
from genloom.errors import GenloomError

LENGTH = "length"  # the variable of a prompt that says how many words a text has at most
DEFAULT_NAME = "medium"
_TOKENS_PER_WORD = 2  # an English word takes 1.3 on average in the vocabularies of chat models, a name or number more
_TOKENS_PER_FOREIGN_WORD = 4
_SPARE_TOKENS = 40  # of a subject line, a title or a closing
_ENGLISH = ("", "english", "en")


def find_num_words(prompt: Prompt, length: str) -> int:
    """Return the most words of a text; 0 without a limit.

    `length` is the name of one of the prompt's lengths or a number. "": its medium length, if it has lengths.

    Raises
    ------
    GenloomError
        assistant.no_length: the prompt takes no length; assistant.bad_length.
    """
    if not length:
        return prompt.words.get(DEFAULT_NAME, 0) if LENGTH in prompt.variables else 0
    if LENGTH not in prompt.variables:
        raise GenloomError("assistant.no_length", prompt=prompt.name)
    if length in prompt.words:
        return prompt.words[length]
    if length.isascii() and length.isdecimal() and len(length) < 9 and 1 <= int(length) <= MAX_WORDS:
        return int(length)
    known = "".join(f"{name} ({count} words), " for name, count in prompt.words.items())
    raise GenloomError("assistant.bad_length", length=length, known=known, limit=MAX_WORDS)


def estimate_max_tokens(num_words: int, language: str = "") -> int:
    """Return the most tokens of a text of so many words; it is rather too high, so that no sentence is cut."""
    is_english = language.strip().casefold() in _ENGLISH
    return num_words * (_TOKENS_PER_WORD if is_english else _TOKENS_PER_FOREIGN_WORD) + _SPARE_TOKENS
