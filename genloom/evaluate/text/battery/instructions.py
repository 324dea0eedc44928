"""Instructions that a program can check, each with its rule, an answer that follows it and one that does not."""

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

Value = TypeVar("Value")

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
_CATEGORIES = (
    "fruits",
    "animals",
    "colours",
    "countries",
    "musical instruments",
    "kinds of weather",
    "things in a kitchen",
)
_EXAMPLE_NAMES = (
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
_YES_NO_QUESTIONS = (
    ("Is snow cold?", "yes"), ("Can a stone swim?", "no"), ("Is ice made of water?", "yes"), ("Have fish fur?", "no"),
    ("Is a lion an animal?", "yes"), ("Is the sun cold?", "no"), ("Do birds lay eggs?", "yes"),
)  # fmt: skip
_SAMPLE_TEXT = "This is a text about nothing, just a few words, and some more."


@dataclass(frozen=True)
class Instruction:
    """A prompt and the rule for its answers, with one answer that follows the rule and one that does not."""

    kind: str
    prompt: str
    is_followed: Callable[[str], bool]
    passing_answer: str
    failing_answer: str


def build_instructions(seed: int = 0, count_per_kind: int = 7) -> list[Instruction]:
    """Build `count_per_kind` instructions of every kind, in turn; no prompt occurs twice."""
    rng, seen_prompts, instructions = random.Random(seed), set(), []
    for n in range(count_per_kind):
        for make_instruction in _INSTRUCTION_MAKERS:
            instruction = make_instruction(n, rng)
            while instruction.prompt in seen_prompts:
                instruction = make_instruction(n, rng)
            seen_prompts.add(instruction.prompt)
            instructions.append(instruction)
    return instructions


def _make_bullets(n: int, rng: random.Random) -> Instruction:
    count, category = rng.randint(2, 6), _pick_value(_CATEGORIES, n)
    return Instruction(
        "bullet points",
        f"Name {count} {category}. Write exactly {count} bullet points, each on a line that begins with a hyphen.",
        lambda text: len(_BULLET.findall(text)) == count,
        "\n".join(f"- {name}" for name in _EXAMPLE_NAMES[:count]),
        "\n".join(f"{number}. {name}" for number, name in enumerate(_EXAMPLE_NAMES[:count], start=1)),
    )


def _make_uppercase(n: int, _: random.Random) -> Instruction:
    prompt = f"Write one sentence about {_pick_value(_TOPICS, n)}. Use capital letters only."
    return Instruction(
        "capitals", prompt, lambda text: _has_letters(text) and text == text.upper(), _SAMPLE_TEXT.upper(), _SAMPLE_TEXT
    )


def _make_lowercase(n: int, _: random.Random) -> Instruction:
    prompt = f"Write one sentence about {_pick_value(_TOPICS, n)}. Use small letters only, no capital letters at all."
    return Instruction(
        "small letters",
        prompt,
        lambda text: _has_letters(text) and text == text.lower(),
        _SAMPLE_TEXT.lower(),
        _SAMPLE_TEXT,
    )


def _make_json(n: int, _: random.Random) -> Instruction:
    name, age = _pick_value(_PEOPLE, n)
    person = {"name": name, "age": age}

    def is_followed(text: str) -> bool:
        fence_match = re.fullmatch(r"```(?:json)?\s*(.*?)\s*```", text.strip(), re.DOTALL)
        try:
            parsed_value = json.loads(fence_match[1] if fence_match else text)
        except (json.JSONDecodeError, RecursionError):
            return False
        return isinstance(parsed_value, dict) and {**parsed_value, "age": str(parsed_value.get("age"))} == {
            "name": name,
            "age": str(age),
        }

    return Instruction(
        "JSON",
        f'{name} is {age} years old. Write this as a JSON object with the keys "name" and "age", and nothing else.',
        is_followed,
        json.dumps(person),
        f"Here it is: {json.dumps(person)}",
    )


def _make_ending(n: int, _: random.Random) -> Instruction:
    phrase = _pick_value(_PHRASES, n)
    return Instruction(
        "ending",
        f'Write one sentence about {_pick_value(_TOPICS, n)}, and end your answer with the words "{phrase}".',
        lambda text: _normalize_answer(text).endswith(phrase),
        f"{_SAMPLE_TEXT} {phrase.capitalize()}.",
        f"{phrase}: {_SAMPLE_TEXT}",
    )


def _make_beginning(n: int, _: random.Random) -> Instruction:
    word = _pick_value(_WORDS, n).capitalize()
    return Instruction(
        "beginning",
        f'Write one sentence about {_pick_value(_TOPICS, n)}. The first word of your answer has to be "{word}".',
        lambda text: _normalize_answer(text).split()[:1] == [word.lower()],
        f"{word} {_SAMPLE_TEXT}",
        f"{_SAMPLE_TEXT} {word}",
    )


def _make_exact_word_count(n: int, rng: random.Random) -> Instruction:
    count = rng.randint(3, 8)
    return Instruction(
        "number of words",
        f"Say something about {_pick_value(_TOPICS, n)} in exactly {count} words.",
        lambda text: len(text.split()) == count,
        " ".join(_EXAMPLE_NAMES[:count]),
        " ".join(_EXAMPLE_NAMES[: count + 2]),
    )


def _make_max_word_count(n: int, rng: random.Random) -> Instruction:
    count = rng.randint(5, 12)
    return Instruction(
        "at most so many words",
        f"Describe {_pick_value(_TOPICS, n)} in at most {count} words.",
        lambda text: 0 < len(text.split()) <= count,
        " ".join(_EXAMPLE_NAMES[:count]),
        " ".join((*_EXAMPLE_NAMES, *_EXAMPLE_NAMES)),
    )


def _make_forbidden_letter(n: int, _: random.Random) -> Instruction:
    letter = _pick_value("eaoitsr", n)
    return Instruction(
        "without a letter",
        f'Write a short sentence in which the letter "{letter}" does not occur.',
        lambda text: len(text.split()) > 2 and letter not in text.lower(),
        "Fly up by my bunk.",
        "The artist is outside.",
    )


def _make_no_comma(n: int, _: random.Random) -> Instruction:
    return Instruction(
        "no comma",
        f"Tell me three things about {_pick_value(_TOPICS, n)} without using a single comma.",
        lambda text: _has_letters(text) and "," not in text,
        _SAMPLE_TEXT.replace(",", ""),
        _SAMPLE_TEXT,
    )


def _make_keywords(_: int, rng: random.Random) -> Instruction:
    first, second = rng.sample(_WORDS, 2)
    return Instruction(
        "keywords",
        f'Write one sentence that contains both the word "{first}" and the word "{second}".',
        lambda text: {first, second} <= set(re.findall(r"\w+", text.lower())),
        f"The {first} is beside the {second}.",
        f"The {first} is here.",
    )


def _make_yes_or_no(n: int, _: random.Random) -> Instruction:
    question, answer = _pick_value(_YES_NO_QUESTIONS, n)
    return Instruction(
        "yes or no",
        f"{question} Answer with a single word, yes or no.",
        lambda text: _normalize_answer(text) == answer,
        f"{answer.capitalize()}.",
        "no" if answer == "yes" else "yes",
    )


def _make_repetition(n: int, _: random.Random) -> Instruction:
    sentence = _pick_value(_SENTENCES, n)
    return Instruction(
        "repetition",
        f"Repeat the following sentence word by word, and write nothing else: {sentence}",
        lambda text: _normalize_answer(text) == _normalize_answer(sentence),
        sentence,
        f"Of course! {sentence}",
    )


def _make_quotation(n: int, _: random.Random) -> Instruction:
    return Instruction(
        "quotation marks",
        f"Write one sentence about {_pick_value(_TOPICS, n)}, and put your whole answer in double quotation marks.",
        lambda text: len(text.strip()) > 2 and text.strip()[0] in '"“' and text.strip()[-1] in '"”',
        f'"{_SAMPLE_TEXT}"',
        _SAMPLE_TEXT,
    )


def _make_comma_list(n: int, rng: random.Random) -> Instruction:
    count, category = rng.randint(2, 5), _pick_value(_CATEGORIES, n)

    def is_followed(text: str) -> bool:
        parts = [part.split() for part in text.strip().split(",")]
        return len(parts) == count and all(1 <= len(part) <= 4 for part in parts) and "\n" not in text.strip()

    return Instruction(
        "comma-separated list",
        f"Name {count} {category} on one line, separated by commas, and write nothing else.",
        is_followed,
        ", ".join(_EXAMPLE_NAMES[:count]),
        "\n".join(_EXAMPLE_NAMES[:count]),
    )


def _make_line_count(n: int, rng: random.Random) -> Instruction:
    count = rng.randint(2, 5)
    return Instruction(
        "number of lines",
        f"Write a poem about {_pick_value(_TOPICS, n)} that has exactly {count} lines.",
        lambda text: len([line for line in text.splitlines() if line.strip()]) == count,
        "\n".join([_SAMPLE_TEXT] * count),
        "\n".join([_SAMPLE_TEXT] * (count + 1)),
    )


_INSTRUCTION_MAKERS: tuple[Callable[[int, random.Random], Instruction], ...] = (
    _make_bullets, _make_uppercase, _make_lowercase, _make_json, _make_ending, _make_beginning, _make_exact_word_count,
    _make_max_word_count, _make_forbidden_letter, _make_no_comma, _make_keywords, _make_yes_or_no, _make_repetition,
    _make_quotation, _make_comma_list, _make_line_count,
)  # fmt: skip


def _pick_value(values: Sequence[Value], n: int) -> Value:
    return values[n % len(values)]


def _has_letters(text: str) -> bool:
    """Whether there are at least 3 letters, so that an empty answer does not follow a rule."""
    return sum(c.isalpha() for c in text) >= 3


def _normalize_answer(text: str) -> str:
    """Return the answer in lower case, without surrounding spaces, quotation and punctuation marks."""
    return text.strip().strip("\"'“”*.!? \n").lower()
