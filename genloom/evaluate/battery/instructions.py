"""Instructions that a program can check: each with its rule, an answer that keeps it and one that breaks it."""

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass

_BULLET = re.compile(r"^\s*-\s*\S", re.MULTILINE)
_SENTENCES = (
    "The grey cat sleeps on the warm stove.",
    "Every morning the baker opens his shop at six.",
    "A small boat crossed the bay before the storm.",
    "My sister plants beans behind the old house.",
    "The last train to the coast leaves at noon.",
    "Two owls live in the tower of the church.",
    "Nobody remembers who built the stone bridge.",
)
_TOPICS = ("the sea", "a good breakfast", "winter", "the moon", "riding a bicycle", "trees", "a market in the morning")
_THINGS = (
    "fruits",
    "animals",
    "colours",
    "countries",
    "musical instruments",
    "kinds of weather",
    "things in a kitchen",
)
_NAMED = (
    "apple", "otter", "green", "Norway", "violin", "fog", "kettle", "plum", "heron", "blue", "Peru", "drum"
)  # fmt: skip
_PHRASES = (
    "that is all",
    "have a good day",
    "and so it goes",
    "ask me again",
    "see you soon",
    "good luck",
    "stay safe",
)
_WORDS = ("river", "lantern", "garden", "music", "stone", "letter", "window", "bread", "summer", "bridge")
_PEOPLE = (("Ann", 31), ("Omar", 8), ("Ines", 54), ("Jack", 19), ("Mei", 27), ("Paul", 70), ("Rosa", 42))
_FACTS = (
    ("Is snow cold?", "yes"), ("Can a stone swim?", "no"), ("Is ice made of water?", "yes"), ("Have fish fur?", "no"),
    ("Is a lion an animal?", "yes"), ("Is the sun cold?", "no"), ("Do birds lay eggs?", "yes"),
)  # fmt: skip
_PLAIN = "This is a text about nothing, just a few words, and some more."


@dataclass(frozen=True)
class Instruction:
    """What is asked, and whether an answer does it. `right` keeps the rule and `wrong` breaks it."""

    kind: str
    prompt: str
    kept: Callable[[str], bool]
    right: str
    wrong: str


def instructions(seed: int = 0, each: int = 7) -> list[Instruction]:
    """`each` of every kind, in turn; nothing is asked twice."""
    chance, asked, found = random.Random(seed), set(), []
    for n in range(each):
        for make in _KINDS:
            instruction = make(n, chance)
            while instruction.prompt in asked:
                instruction = make(n, chance)
            asked.add(instruction.prompt)
            found.append(instruction)
    return found


def _bullets(n: int, chance: random.Random) -> Instruction:
    count, things = chance.randint(2, 6), _pick(_THINGS, n)
    return Instruction(
        "bullet points",
        f"Name {count} {things}. Write exactly {count} bullet points, each on a line that begins with a hyphen.",
        lambda text: len(_BULLET.findall(text)) == count,
        "\n".join(f"- {name}" for name in _NAMED[:count]),
        "\n".join(f"{at}. {name}" for at, name in enumerate(_NAMED[:count], start=1)),
    )


def _capitals(n: int, _: random.Random) -> Instruction:
    prompt = f"Write one sentence about {_pick(_TOPICS, n)}. Use capital letters only."
    return Instruction("capitals", prompt, lambda text: _letters(text) and text == text.upper(), _PLAIN.upper(), _PLAIN)


def _small(n: int, _: random.Random) -> Instruction:
    prompt = f"Write one sentence about {_pick(_TOPICS, n)}. Use small letters only, no capital letters at all."
    return Instruction(
        "small letters", prompt, lambda text: _letters(text) and text == text.lower(), _PLAIN.lower(), _PLAIN
    )


def _json(n: int, _: random.Random) -> Instruction:
    name, age = _pick(_PEOPLE, n)
    facts = {"name": name, "age": age}

    def kept(text: str) -> bool:
        fenced = re.fullmatch(r"```(?:json)?\s*(.*?)\s*```", text.strip(), re.DOTALL)
        try:
            found = json.loads(fenced[1] if fenced else text)
        except (json.JSONDecodeError, RecursionError):
            return False
        return isinstance(found, dict) and {**found, "age": str(found.get("age"))} == {"name": name, "age": str(age)}

    return Instruction(
        "JSON",
        f'{name} is {age} years old. Write this as a JSON object with the keys "name" and "age", and nothing else.',
        kept,
        json.dumps(facts),
        f"Here it is: {json.dumps(facts)}",
    )


def _ending(n: int, _: random.Random) -> Instruction:
    phrase = _pick(_PHRASES, n)
    return Instruction(
        "ending",
        f'Write one sentence about {_pick(_TOPICS, n)}, and end your answer with the words "{phrase}".',
        lambda text: _bare(text).endswith(phrase),
        f"{_PLAIN} {phrase.capitalize()}.",
        f"{phrase}: {_PLAIN}",
    )


def _beginning(n: int, _: random.Random) -> Instruction:
    word = _pick(_WORDS, n).capitalize()
    return Instruction(
        "beginning",
        f'Write one sentence about {_pick(_TOPICS, n)}. The first word of your answer has to be "{word}".',
        lambda text: _bare(text).split()[:1] == [word.lower()],
        f"{word} {_PLAIN}",
        f"{_PLAIN} {word}",
    )


def _exactly(n: int, chance: random.Random) -> Instruction:
    count = chance.randint(3, 8)
    return Instruction(
        "number of words",
        f"Say something about {_pick(_TOPICS, n)} in exactly {count} words.",
        lambda text: len(text.split()) == count,
        " ".join(_NAMED[:count]),
        " ".join(_NAMED[: count + 2]),
    )


def _at_most(n: int, chance: random.Random) -> Instruction:
    count = chance.randint(5, 12)
    return Instruction(
        "at most so many words",
        f"Describe {_pick(_TOPICS, n)} in at most {count} words.",
        lambda text: 0 < len(text.split()) <= count,
        " ".join(_NAMED[:count]),
        " ".join((*_NAMED, *_NAMED)),
    )


def _without(n: int, _: random.Random) -> Instruction:
    letter = _pick("eaoitsr", n)
    return Instruction(
        "without a letter",
        f'Write a short sentence in which the letter "{letter}" does not occur.',
        lambda text: len(text.split()) > 2 and letter not in text.lower(),
        "Fly up by my bunk.",
        "The artist is outside.",
    )


def _commas(n: int, _: random.Random) -> Instruction:
    return Instruction(
        "no comma",
        f"Tell me three things about {_pick(_TOPICS, n)} without using a single comma.",
        lambda text: _letters(text) and "," not in text,
        _PLAIN.replace(",", ""),
        _PLAIN,
    )


def _keywords(_: int, chance: random.Random) -> Instruction:
    first, second = chance.sample(_WORDS, 2)
    return Instruction(
        "keywords",
        f'Write one sentence that contains both the word "{first}" and the word "{second}".',
        lambda text: {first, second} <= set(re.findall(r"\w+", text.lower())),
        f"The {first} is beside the {second}.",
        f"The {first} is here.",
    )


def _yes_or_no(n: int, _: random.Random) -> Instruction:
    asked, right = _pick(_FACTS, n)
    return Instruction(
        "yes or no",
        f"{asked} Answer with a single word, yes or no.",
        lambda text: _bare(text) == right,
        f"{right.capitalize()}.",
        "no" if right == "yes" else "yes",
    )


def _repeat(n: int, _: random.Random) -> Instruction:
    sentence = _pick(_SENTENCES, n)
    return Instruction(
        "repetition",
        f"Repeat the following sentence word by word, and write nothing else: {sentence}",
        lambda text: _bare(text) == _bare(sentence),
        sentence,
        f"Of course! {sentence}",
    )


def _quoted(n: int, _: random.Random) -> Instruction:
    return Instruction(
        "quotation marks",
        f"Write one sentence about {_pick(_TOPICS, n)}, and put your whole answer in double quotation marks.",
        lambda text: len(text.strip()) > 2 and text.strip()[0] in '"“' and text.strip()[-1] in '"”',
        f'"{_PLAIN}"',
        _PLAIN,
    )


def _list(n: int, chance: random.Random) -> Instruction:
    count, things = chance.randint(2, 5), _pick(_THINGS, n)

    def kept(text: str) -> bool:
        parts = [part.split() for part in text.strip().split(",")]
        return len(parts) == count and all(1 <= len(part) <= 4 for part in parts) and "\n" not in text.strip()

    return Instruction(
        "comma-separated list",
        f"Name {count} {things} on one line, separated by commas, and write nothing else.",
        kept,
        ", ".join(_NAMED[:count]),
        "\n".join(_NAMED[:count]),
    )


def _lines(n: int, chance: random.Random) -> Instruction:
    count = chance.randint(2, 5)
    return Instruction(
        "number of lines",
        f"Write a poem about {_pick(_TOPICS, n)} that has exactly {count} lines.",
        lambda text: len([line for line in text.splitlines() if line.strip()]) == count,
        "\n".join([_PLAIN] * count),
        "\n".join([_PLAIN] * (count + 1)),
    )


_KINDS: tuple[Callable[[int, random.Random], Instruction], ...] = (
    _bullets, _capitals, _small, _json, _ending, _beginning, _exactly, _at_most, _without, _commas, _keywords,
    _yes_or_no, _repeat, _quoted, _list, _lines,
)  # fmt: skip


def _pick(values, n: int):
    return values[n % len(values)]


def _letters(text: str) -> bool:
    """Whether there are a few letters, so that silence keeps no rule."""
    return sum(c.isalpha() for c in text) >= 3


def _bare(text: str) -> str:
    """Small letters, without blanks and marks around and the marks at the end."""
    return text.strip().strip("\"'“”*.!? \n").lower()
