"""The part of speech of English words that are spoken in several ways, by the words around them."""

from collections.abc import Sequence

_MODALS = frozenset([
    "to", "will", "would", "can", "could", "should", "must", "may", "might", "shall", "don't", "didn't",
    "doesn't", "won't", "can't", "couldn't", "wouldn't", "shouldn't", "cannot", "let's", "please", "i'll",
    "we'll", "you'll", "they'll", "he'll", "she'll", "i'd", "we'd", "you'd", "they'd", "always", "never", "often",
    "usually",
])  # fmt: skip
_PRONOUNS = frozenset(["i", "we", "you", "they"])
_SINGULAR_PRONOUNS = frozenset(["he", "she", "it", "who"])
_DETERMINERS = frozenset([
    "the", "a", "an", "this", "that", "these", "those", "my", "your", "his", "her", "its", "our", "their", "some",
    "any", "no", "every", "each", "another", "first", "last", "new", "old", "good", "bad", "big", "strong", "cold",
])  # fmt: skip
_PREPOSITIONS = frozenset(["of", "in", "for", "with", "by", "on", "from", "without", "about", "into", "at", "under"])
_PERFECT = frozenset(["have", "has", "had", "i've", "we've", "you've", "they've", "having"])
_PASSIVE = frozenset(["was", "were", "been", "be", "is", "are", "being", "it's", "get", "got"])
_OBJECTS = frozenset([
    "the", "a", "an", "this", "that", "these", "those", "my", "your", "his", "her", "its", "our", "their", "it",
    "them", "him", "me", "us", "some", "every", "all", "each",
])  # fmt: skip
_PLACES = frozenset(["in", "at", "on", "with", "near", "there", "here", "together", "alone", "by", "under", "without"])


def tag_word(words: Sequence[str], index: int) -> str:
    """Return VERB, NOUN, VBD or VBN for a word by its neighbours; "" if they do not tell."""
    word = words[index].lower()
    before = words[index - 1].lower() if index else ""
    after = words[index + 1].lower() if index + 1 < len(words) else ""
    if special := _tag_special(word, before, after):
        return special
    if before in _MODALS or before in _PRONOUNS:
        return "VERB"
    if before in _PERFECT:
        return "VBN"
    if before in _PASSIVE:
        return "VBN" if word == "read" else ""
    if before in _SINGULAR_PRONOUNS or (word == "read" and words[index - 1 : index] and words[index - 1].istitle()):
        return "VBD"
    if before in _DETERMINERS or before in _PREPOSITIONS:
        return "NOUN"
    return "VERB" if after in _OBJECTS else ""


def _tag_special(word: str, before: str, after: str) -> str:
    """Return the part of speech of a word with rules of its own; "" for any other."""
    if word in ("live", "lives") and after in _PLACES and before not in (*_PASSIVE, *_DETERMINERS):
        return "VERB"
    if word == "close":
        return "ADJ" if after in ("to", "by", "friend", "friends") or before in ("very", "so", "too", "how") else ""
    if word in ("use", "uses", "abuse") and (after == "of" or before in ("of", "no")):
        return "NOUN"
    if word == "wind" and after in ("up", "down", "through"):
        return "VERB"
    return ""
