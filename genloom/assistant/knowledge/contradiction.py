"""Contradictions between a sentence and the place in a source that fits it best, which has nearly all of its words.

The rules compare clauses: numbers and their units, denials and opposites ("open", "closed"), who does something to
whom, and what a number belongs to. They are rules of English, with some words of other languages; they find much of
what right words in a wrong relation say, and not all. `bench/assistant.py support` measures them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from genloom.assistant.knowledge.sentences import STOP_WORDS, fold_text, iter_words, split_sentences, stem_word

_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")
_NAME = re.compile(r"(?<![.!?:\n] )(?<!^)\b[A-ZÄÖÜÉÈÀ][\w'’-]+")
_NUMBER_WORDS = "zero one two three four five six seven eight nine ten eleven twelve"
_SPELLED: dict[str, str] = {word: str(number) for number, word in enumerate(_NUMBER_WORDS.split())}
_DENIAL_WORDS = """
    not no never none neither nor without cannot can't don't doesn't didn't isn't aren't wasn't weren't won't shouldn't
    mustn't needn't nobody nothing nicht kein keine keinen weder noch nie niemals ohne pas jamais sans nunca sin"""
_DENIALS = frozenset(_DENIAL_WORDS.split())
_CLAUSE_BORDER = re.compile(
    r"(?P<relative>,\s+(?:who|which|that)\b)|[,;:.!?]\s+(?:(?:and|but|or|while|und|et|mais|aber)\b)?|"
    r"\b(?:and|but|however|although|while|und|aber|et|mais|pero)\b"
)
_BEGINNING_NAME = re.compile(r"\s*(?:[A-ZÄÖÜÉÈÀ][\w'’-]+ ?\b){2,}")
_TOKEN = re.compile(r"\d+(?:[.,:/-]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)?|[%€$£]")
# Words of which one says the opposite of the other; several that mean the same have bars between them.
_OPPOSITES = """
    above|over|more|exceeding:below|under|less|fewer|up_to at_least|minimum:at_most|maximum before:after within:after
    until|till:from|since open|opened|opens:closed|closes|shut include|included|includes:exclude|excluded|excludes
    cover|covers|covered:exclude|excluded|excludes rare|rarely:common|often|frequent free:paid left:right
    allowed|allow|allows|permitted|permit|welcome:forbidden|forbid|forbids|prohibited|banned north:south east:west
    rise|rose|risen|rises|increase|increased|grew|grown:fall|fell|fallen|falls|decrease|decreased|dropped|declined
    must|required|obliged|mandatory:may|can|could|optional always:sometimes|rarely|seldom first:last hot:cold
    early|earlier:late|later high|higher|highest:low|lower|lowest buy|buys|bought:sell|sells|sold warm:cold dry:wet
    import|imports|imported:export|exports|exported win|wins|won:lose|loses|lost valid:invalid safe:dangerous|unsafe
    begin|begins|began|start|starts|started:end|ends|ended|stop|stops|stopped
    fast|quick|quickly|faster:slow|slowly|slower
    quiet|quieter:loud|louder large|larger|big|bigger:small|smaller long|longer:short|shorter summer:winter
    morning|mornings:evening|evenings accept|accepts|accepted:reject|rejects|rejected|refuse|refused
    everyone|everybody|all:nobody|none arrive|arrives|arrived:leave|leaves"""
_MODALS = frozenset(("must", "required", "obliged", "mandatory", "may", "can", "could", "optional"))
_STRONG = frozenset(("only", "always", "must", "exclusively", "solely", "guaranteed"))
_UNITS = {
    "time": "second minute hour day week month year decade century sekunde stunde tag woche monat jahr jour semaine",
    "date": "january february march april june july august september october november december januar februar juli",
    "money": "euro dollar pound cent franc € $ £",
    "share": "percent % prozent",
    "length": "millimetre centimetre metre meter kilometre kilometer mile foot feet inch mm cm km",
    "mass": "gram kilogram kilo tonne ton g kg mg",
    "volume": "litre liter millilitre gallon",
    "power": "watt kilowatt volt ampere degree",
}
_UNIT_KINDS = {stem_word(unit): kind for kind, units in _UNITS.items() for unit in units.split()}
_RATES = frozenset(("a", "an", "per", "every", "each", "once", "twice", "pro", "je", "par"))
_PARTIES = {**dict.fromkeys(("we", "us", "our", "ours"), "us"), **dict.fromkeys(("you", "your", "yours"), "you")}
_DETERMINERS = frozenset(
    ("the", "a", "an", "this", "these", "those", "its", "their", "his", "her", "our", "your", "my")
)
_PRONOUNS = frozenset(("it", "he", "she", "they", "this", "these", "those", "that"))
_NEAR = 3  # tokens between a number and its unit
_MAX_NAME_STEMS = 2  # of a clause that is but a name


@dataclass(frozen=True)
class Clause:
    """A clause of a text: its tokens in lower case, and the stems of those that say what it is about, in order."""

    tokens: tuple[str, ...]
    stems: tuple[str, ...]
    leading: frozenset[str] = frozenset()  # the first of these, and further words of a name that it begins
    is_relative: bool = False  # "…, who …"

    @property
    def letters(self) -> frozenset[str]:
        """The single capitals that name things, as in "pump A"."""
        return frozenset(stem for stem in self.stems if len(stem) == 1 and stem.isupper())

    @property
    def stem_set(self) -> frozenset[str]:
        return frozenset(self.stems)

    @property
    def numbers(self) -> frozenset[str]:
        return frozenset(filter(None, map(read_number, self.tokens)))

    @property
    def denials(self) -> int:
        """The number of denials; "neither … nor" is one."""
        found = [token for token in self.tokens if token in _DENIALS]
        return len(found) - min(found.count("neither") + found.count("weder"), found.count("nor") + found.count("noch"))


def find_contradiction(sentence: str, source: str, title: str = "", passage: str = "") -> str:
    """Return why a source does not say a sentence that has its words; "" if nothing contradicts.

    `passage` is the text around the source, which names others that do something.

    "numbers" and "names": the source lacks one; "denial": the source says the opposite; "relation": it says it of
    somebody or something else, or with another unit; "strength": it says less.
    """
    if " ".join(sentence.split()) in " ".join(source.split()):
        return ""  # word for word
    if list_numbers(sentence) - list_numbers(f"{title} {source}"):
        return "numbers"
    known = {stem_word(word) for word in iter_words(f"{title} {source}")}
    names = {stem_word(word) for name in _NAME.findall(sentence) for word in iter_words(name)}
    if names - known:
        return "names"
    statement, clauses = split_clauses(sentence), split_clauses(source)
    if not statement or not clauses:
        return ""
    for part in statement:
        fitting = choose_fitting(part, clauses)
        if fitting and all(is_denied_differently(part, clause) for clause in fitting):
            return "denial"
    if is_stronger(sentence, source):
        return "strength"
    groups = [split_clauses(source[begin:end]) for begin, end in split_sentences(source)]
    others = frozenset(stem for clause in split_clauses(passage or source) for stem in clause.leading)
    for part in statement:
        if has_other_unit(part, groups) or has_other_party(part, groups) or is_number_of_another(part, groups):
            return "relation"
        if has_other_actor(part, groups, others) or has_other_agent(part, clauses):
            return "relation"
    return "relation" if is_order_swapped(sentence, source) or is_direction_swapped(sentence, source) else ""


# Words and clauses


def list_numbers(text: str) -> set[str]:
    """Return the numbers in a text, also small ones in words, in one form."""
    numbers = {_normalize_number(number) for number in _NUMBER.findall(text)}
    return numbers | {_SPELLED[word] for word in iter_words(text) if word in _SPELLED and word != "one"}


def _normalize_number(number: str) -> str:
    return re.sub(r"(?<=\d),(?=\d{3}\b)", "", number).strip(".,:/-")


def read_number(token: str) -> str:
    """Return the value of a token that is a number, in one form; "" for other tokens."""
    if _NUMBER.fullmatch(token):
        return _normalize_number(token)
    return _SPELLED.get(token, "") if token != "one" else ""


def has_denial(text: str) -> bool:
    """Return whether a text denies something."""
    return any(token in _DENIALS for token in list_tokens(text))


def list_tokens(text: str) -> list[str]:
    """Return words, numbers and signs of units in lower case; single capitals such as the A of "pump A" keep theirs."""
    tokens = []
    joined = re.sub(r"\b(at) (least|most)\b|\b(up) (to)\b", r"\1\3_\2\4", text)
    for number, match in enumerate(re.finditer(rf"at_least|at_most|up_to|{_TOKEN.pattern}", joined)):
        token = match[0]
        is_letter = len(token) == 1 and token.isupper() and number > 0 and token != "I"
        tokens.append(token if is_letter else fold_text(token).replace("’", "'"))
    return tokens


@cache
def _stem_token(token: str) -> str:
    return stem_word(token.removesuffix("'s").removesuffix("'"))


def is_content(token: str) -> bool:
    """Return whether a token says what a clause is about: no small word, number, denial or unit."""
    if len(token) == 1 and token.isupper():
        return True
    is_small = token in STOP_WORDS or token in _DENIALS or token in _MODALS or token in _STRONG
    return token[0].isalpha() and not (
        is_small or read_number(token) or token == "one" or _stem_token(token) in _UNIT_KINDS
    )


@cache
def split_clauses(text: str) -> tuple[Clause, ...]:
    """Return the clauses of a text."""
    clauses, begin, is_relative = [], 0, False
    for match in [*_CLAUSE_BORDER.finditer(text), None]:
        tokens = tuple(list_tokens(text[begin : match.start() if match else len(text)]))
        if begin and tokens and text[begin:][:1].isupper() and len(tokens[0]) == 1:
            tokens = (tokens[0].lower(), *tokens[1:])
        if tokens:
            stems = tuple(_stem_token(token) for token in tokens if is_content(token))
            names = _BEGINNING_NAME.match(text, begin)
            leading = stems[: max(1, len(list_tokens(names[0]))) if names else 1]
            clauses.append(Clause(tokens, stems, frozenset(leading), is_relative))
        if match:
            begin, is_relative = match.end(), match["relative"] is not None
    return tuple(clauses)


def choose_fitting(part: Clause, clauses: Sequence[Clause]) -> list[Clause]:
    """Return the clauses that share the most words with a part of a sentence; [] if none shares any."""
    shared = [len(part.stem_set & clause.stem_set) for clause in clauses]
    best = max(shared, default=0)
    return [clause for clause, count in zip(clauses, shared, strict=True) if count == best] if best else []


# Denials, opposites and strength


@cache
def load_opposites() -> tuple[tuple[frozenset[str], frozenset[str]], ...]:
    """Return pairs of words that exclude each other, in both directions."""
    pairs = [[frozenset(side.split("|")) for side in pair.split(":")] for pair in _OPPOSITES.split()]
    return tuple((first, second) for one, other in pairs for first, second in ((one, other), (other, one)))


def is_denied_differently(part: Clause, clause: Clause) -> bool:
    """Return whether one of two clauses says the opposite of the other: by a denial or by an opposite, not by both."""
    denials = part.denials + clause.denials
    words, others = frozenset(part.tokens), frozenset(clause.tokens)
    is_denied_twice = bool(part.denials and clause.denials)
    opposites = {
        (first | second)
        for first, second in load_opposites()
        if words & first and not others & first and others & second and not words & second
        if not (is_denied_twice and (first | second) & _MODALS)  # "must not" and "may not" mean the same
    }
    return (denials + len(opposites)) % 2 == 1


def is_stronger(sentence: str, source: str) -> bool:
    """Return whether a sentence has "only", "always" or the like, and its source does not."""
    strong = _STRONG - {"must"} if has_denial(sentence) else _STRONG  # "must not" is no more than "may not"
    return bool(strong & set(list_tokens(sentence)) - set(list_tokens(source)))


# What belongs together


def iter_units(clause: Clause) -> Iterator[tuple[str, str]]:
    """Yield each number, or "" for a rate such as "a week", with the unit that follows it."""
    for at, token in enumerate(clause.tokens):
        number = read_number(token)
        if not number and token not in _RATES:
            continue
        reach = _NEAR if number else 1
        following = [_stem_token(each) for each in clause.tokens[at + 1 : at + 1 + reach]]
        if unit := next((each for each in following if each in _UNIT_KINDS), ""):
            yield number, unit


def has_other_unit(part: Clause, groups: Sequence[Sequence[Clause]]) -> bool:
    """Return whether a number, or a rate, has another unit than in the source."""
    clauses = [clause for group in groups for clause in group]
    for number, unit in iter_units(part):
        if number:
            found = {u for clause in clauses for n, u in iter_units(clause) if n == number}
        else:
            found = {u for clause in choose_fitting(part, clauses) for n, u in iter_units(clause) if not n}
        if found and unit not in found and any(_UNIT_KINDS[unit] == _UNIT_KINDS[each] for each in found):
            return True
    return False


def has_other_party(part: Clause, groups: Sequence[Sequence[Clause]]) -> bool:
    """Return whether a clause says of "us" what the source says of "you", or the reverse."""
    parties = {_PARTIES[token] for token in part.tokens if token in _PARTIES}
    if len(parties) != 1:
        return False
    fitting = choose_fitting(part, [clause for group in groups for clause in group])
    found = [{_PARTIES[token] for token in clause.tokens if token in _PARTIES} for clause in fitting]
    return bool(found) and all(each and not each & parties for each in found)


def has_other_actor(part: Clause, groups: Sequence[Sequence[Clause]], others: frozenset[str]) -> bool:
    """Return whether a clause begins with somebody or something else than the clause of the source that fits it.

    Only `others` count, which begin a clause of the source: the words of a clause in another order are no other actor.
    """
    rest = Clause(part.tokens, tuple(stem for stem in part.stems if stem not in part.leading))
    fitting = choose_fitting(rest, [clause for group in groups for clause in group])
    if not fitting:
        return False
    if part.letters and all(each.letters and not each.letters & part.letters for each in fitting):
        return True
    return bool(part.leading & others) and all(_is_of_other_actor(part, clause, groups) for clause in fitting)


def _is_of_other_actor(part: Clause, clause: Clause, groups: Sequence[Sequence[Clause]]) -> bool:
    if part.leading & clause.stem_set or clause.tokens[0] in _PRONOUNS:
        return False
    actors = clause.leading
    group = next(each for each in groups if clause in each)
    if actors & part.stem_set:  # it begins with the verb: somebody before it does it
        before = group[: list(group).index(clause)]
        if not before or before[0].tokens[0] in _PRONOUNS:
            return False
        if len(before[-1].stems) <= _MAX_NAME_STEMS and part.leading & before[-1].stem_set:
            return False  # in apposition: "the trainer, Eva Holm, gives lessons"
        if part.letters and before[0].letters and not part.letters & before[0].letters:
            return True
        actors = frozenset(before[-1].stems[-2:]) if clause.is_relative else before[0].leading
    return bool(actors) and not actors & part.stem_set


def is_number_of_another(part: Clause, groups: Sequence[Sequence[Clause]]) -> bool:
    """Return whether the source says a number of something else: its clause has words of its own, and none of these."""
    if not part.stems:
        return False
    for number in part.numbers:
        found = [(clause, group) for group in groups for clause in group if number in clause.numbers]
        if found and all(_is_of_another(part, clause, group) for clause, group in found):
            return True
    return False


def _is_of_another(part: Clause, clause: Clause, group: Sequence[Clause]) -> bool:
    letters = clause.letters or group[0].letters  # "…, and needs 900 watts" is said of what the sentence begins with
    if part.letters and letters and not part.letters & letters:
        return True
    others = frozenset(stem for other in group if other is not clause for stem in other.stems)
    own = clause.stem_set - others
    rivals = [other for other in group if other is not clause and other.numbers]
    if len(group) == 1 or not rivals:
        return not part.stem_set & (clause.stem_set | others)
    is_shared = bool(own & part.stem_set) or (not own and bool(clause.stem_set & part.stem_set))
    return not is_shared and bool(own)


def is_order_swapped(sentence: str, source: str) -> bool:
    """Return whether two words change places around a third one: "Anna taught Tom" and "Tom taught Anna".

    Sentences of which one alone is passive ("by Tom") may do that and mean the same.
    """
    words = _list_once(list_tokens(sentence))
    if ("by" in list_tokens(sentence)) != ("by" in list_tokens(source)):
        return False
    orders = [_list_once(list_tokens(source[begin:end])) for begin, end in split_sentences(source)]
    most_shared = max((len(set(words) & set(each)) for each in orders), default=0)
    for stems in (each for each in orders if len(set(words) & set(each)) == most_shared):
        order = {stem: at for at, stem in enumerate(stems)}
        shared = [stem for stem in words if stem in order]
        for at, middle in enumerate(shared):
            moved_back = [s for s in shared[:at] if order[s] > order[middle]]
            moved_on = [s for s in shared[at + 1 :] if order[s] < order[middle]]
            if moved_back and moved_on:
                return True
    return False


def _list_once(tokens: Sequence[str]) -> list[str]:
    """Return the stems of the words that occur once, in order."""
    stems = [_stem_token(token) for token in tokens if is_content(token)]
    return [stem for stem in stems if stems.count(stem) == 1]


def has_other_agent(part: Clause, clauses: Sequence[Clause]) -> bool:
    """Return whether something is done "by" somebody else than in the clause that fits."""
    agents = _list_directions(part.tokens, ("by",))
    stems = {stem for _, stem in agents}
    fitting = choose_fitting(Clause(part.tokens, tuple(stem for stem in part.stems if stem not in stems)), clauses)
    found = [_list_directions(clause.tokens, ("by",)) for clause in fitting]
    return bool(agents and found) and all(each and not each & agents for each in found)


def is_direction_swapped(sentence: str, source: str) -> bool:
    """Return whether something goes "to" where it comes "from" in the source."""
    known = _list_directions(list_tokens(source), ("from", "to"))
    return any(
        ("to" if preposition == "from" else "from", stem) in known and (preposition, stem) not in known
        for preposition, stem in _list_directions(list_tokens(sentence), ("from", "to"))
    )


def _list_directions(tokens: Sequence[str], prepositions: Sequence[str]) -> set[tuple[str, str]]:
    """Return the prepositions with the word after each, past articles."""
    found = set[tuple[str, str]]()
    for at, token in enumerate(tokens):
        if token in prepositions:
            following = next((each for each in tokens[at + 1 : at + 3] if each not in _DETERMINERS), "")
            if following and is_content(following):
                found.add((token, _stem_token(following)))
    return found
