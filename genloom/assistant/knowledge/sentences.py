"""Sentences of a text as spans, which keep their places; and the words of a text, as searches compare them."""

import re
import unicodedata
from collections.abc import Iterator

MAX_SENTENCE_WORDS = 80  # of a longer one, which has no end mark, pieces are taken
# Han, kana and hangul are written without spaces, or with few; a character counts as half a word.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_ACCENTS = re.compile("[\u0300-\u036f]")
_ELISION = re.compile(r"^(?:[cdjlmnst]|qu)'")
_UNSPACED_RUN = re.compile(_UNSPACED.pattern + "+")
_END = re.compile(r"(?:[.!?…]+[\"'”’»)\]]*(?=\s|$)|[。！？]+[」』”]*)")
_ABBREVIATION = re.compile(
    r"\b(?:[A-Za-z]|Dr|Mr|Mrs|Ms|Prof|Sr|Jr|St|vs|etc|e\.g|i\.e|cf|ca|approx|No|Nr|Fig|fig|pp|vol|Vol|Sec|sec|Art|"
    r"bzw|z\.B|d\.h|usw|ggf|evtl|Abs|p\.ex|Mme|Mlle|Sra|Inc|Ltd|Co|Corp)\.$"
)
_LINE_START = re.compile(r"\n(?=[ \t]*(?:[-*•–+]|\d{1,3}[.)]|[a-z][)])[ \t]+\S)|\n[ \t]*\n")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")

# The words that say little about what a sentence is about, in the languages of most documents here.
_STOP_WORDS = """
    a about above after again all also am an and any are as at be because been before being below between both
    but by can could did do does doing down during each few for from further had has have having he her here
    hers him his how i if in into is it its itself just me more most my no nor not of off on once only or other
    our out over own same she should so some such than that the their them then there these they this those
    through to too under until up very was we were what when where which while who whom why will with would you
    your yours may might must many much one der die das den dem des ein eine einer eines einem einen und oder
    ist sind war wird wie was wer wo wann warum zu im in von mit auf für nicht es sie er wir ich man auch als an
    bei nach aus le la les un une des du de et ou est sont dans pour par sur avec que qui quoi quel quelle
    comment où quand pourquoi il elle ils elles ne pas ce cette ces se au aux el los las una unos unas y o es
    son en por para con que quien cual como donde cuando cuanto porque no se su sus lo"""
STOP_WORDS = frozenset(_STOP_WORDS.split())


def split_sentences(text: str, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """Yield the begin and end of each sentence of a part of a text; items of lists and paragraphs end one, too."""
    end = len(text) if end is None else end
    borders = [match.start() for match in _LINE_START.finditer(text, start, end)]
    for begin, stop in zip([start, *borders], [*borders, end], strict=True):
        yield from _split_block(text, begin, stop)


def _split_block(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    begin = start
    for match in _END.finditer(text, start, end):
        stop = match.end()
        if match[0].startswith(".") and _is_abbreviation(text, begin, stop, end):
            continue
        yield from _trim_span(text, begin, stop)
        begin = stop
    yield from _trim_span(text, begin, end)


def _is_abbreviation(text: str, begin: int, stop: int, end: int) -> bool:
    """Return whether a full stop is that of an abbreviation or a number, or a small letter follows."""
    following = text[stop : stop + 3].lstrip()
    if stop < end and following[:1].islower():
        return True
    return _ABBREVIATION.search(text, max(begin, stop - 12), stop) is not None and following[:1] not in ("", "\n")


def _trim_span(text: str, begin: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield the span without blanks around it, if anything is left; a very long one in pieces."""
    piece = text[begin:stop]
    first = begin + len(piece) - len(piece.lstrip())
    last = begin + len(piece.rstrip())
    if first >= last:
        return
    if count_words(text[first:last]) <= MAX_SENTENCE_WORDS:
        yield first, last
        return
    border = _find_border(text, first, last)
    yield from _trim_once(text, first, border)
    while border < last:
        begin, border = border, _find_border(text, border, last)
        yield from _trim_once(text, begin, border)


def _trim_once(text: str, begin: int, stop: int) -> Iterator[tuple[int, int]]:
    piece = text[begin:stop]
    first, last = begin + len(piece) - len(piece.lstrip()), begin + len(piece.rstrip())
    if first < last:
        yield first, last


def _find_border(text: str, begin: int, end: int) -> int:
    """Return where a piece of at most about MAX_SENTENCE_WORDS words ends: at a line, else at a word, else anywhere."""
    limit = min(end, begin + 6 * MAX_SENTENCE_WORDS)
    if limit == end:
        return end
    for separator in ("\n", " "):
        border = text.rfind(separator, begin + 1, limit)
        if border > begin:
            return border
    return limit


def count_words(text: str) -> int:
    """Return the number of words; where a script has no spaces, two characters count as one."""
    return len(text.split()) + (0 if text.isascii() else len(_UNSPACED.findall(text)) // 2)


def list_words(text: str) -> list[str]:
    """Return the words in lower case without accents and common endings of English, those that say little left out."""
    return [stem_word(word) for word in iter_words(text) if word not in STOP_WORDS]


def list_tokens(text: str) -> list[str]:
    """Return the words that a text is found by: see `list_words`; of scripts without spaces, pairs of characters."""
    tokens = [word.replace("'", "") for word in list_words(text)]
    if not text.isascii():
        for run in _UNSPACED_RUN.findall(fold_text(text)):
            tokens += [run[n : n + 2] for n in range(len(run) - 1)]
    return tokens


def iter_words(text: str) -> Iterator[str]:
    """Yield the words in lower case, without accents."""
    for match in _WORD.finditer(fold_text(text)):
        yield _ELISION.sub("", match[0].replace("’", "'")).removesuffix("'s")


def fold_text(text: str) -> str:
    """Return the text in lower case, without accents, in the compatible forms of its characters."""
    folded = text.casefold()
    if folded.isascii():
        return folded
    return unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFKD", folded)))


def stem_word(word: str) -> str:
    """Return a word without the commonest endings of English, so that most forms of a word are equal."""
    if len(word) <= 3 or not word.isascii():
        return word
    for ending, replacement in (("ies", "y"), ("sses", "ss"), ("ing", ""), ("edly", ""), ("ed", ""), ("ly", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)] + replacement
            break
    else:
        if word.endswith("s") and not word.endswith(("ss", "us", "is")):
            word = word[:-1]
    if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "lsz":  # "running", "stopped"
        word = word[:-1]
    return word[:-1] if len(word) > 4 and word.endswith("e") else word
