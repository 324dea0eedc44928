"""Ten small tasks with answers that a program can check, for `assistant_prompts.py`; written for it, 60 cases or more.

A task is the prompt that a person would write first, and cases: rows as `genloom prompts improve` reads them.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from prompt_task_texts import (
    CAPITALS,
    CONTACT_SENTENCES,
    DATE_SENTENCES,
    FIRST_NAMES,
    HEADLINES,
    KINDS,
    LANGUAGES,
    LAST_NAMES,
    MONTHS,
    NEGATED,
    NEGATIVE,
    POSITIVE,
    RUDE,
    UNIT_SENTENCES,
    UNITS,
)

Row = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """A first prompt with the variable `text`, and its cases."""

    name: str
    prompt: str
    cases: list[Row]
    judge: str = "exact"


def build_tasks() -> list[Task]:
    """Return the ten tasks; the same cases each time."""
    return [
        Task("sentiment", "Is the opinion positive or negative?\n\n{text}", list(_iter_opinions())),
        Task("date", "Find the date in the text.\n\n{text}", list(_iter_dates())),
        Task("unit", "Which unit is in the text?\n\n{text}", list(_iter_units())),
        Task("contact", "Extract the contact from the text.\n\n{text}", list(_iter_contacts()), "json"),
        Task("kind", "Which kind of thing is this?\n\n{text}", list(_iter_kinds())),
        Task("capital", "Which city is the capital of this country?\n\n{text}", list(_iter_capitals())),
        Task("negation", "Say the opposite.\n\n{text}", list(_iter_negations())),
        Task("headline", "Write a headline for the text.\n\n{text}", list(_iter_headlines())),
        Task("polite", "Make this polite.\n\n{text}", list(_iter_requests())),
        Task("language", "Which language is this?\n\n{text}", list(_iter_languages())),
    ]


def _build_rows(pairs: Any) -> list[Row]:
    return [{"input": text, "answer": answer} for text, answer in pairs]


def _iter_opinions() -> Iterator[Row]:
    yield from _build_rows((text, "positive") for text in POSITIVE)
    yield from _build_rows((text, "negative") for text in NEGATIVE)


def _iter_dates() -> Iterator[Row]:
    rng = random.Random(1)
    for number in range(64):
        day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1950, 2029)
        text = DATE_SENTENCES[number % len(DATE_SENTENCES)].format(d=day, m=MONTHS[month - 1], y=year)
        yield {"input": text, "answer": f"{year}-{month:02}-{day:02}"}


def _iter_units() -> Iterator[Row]:
    rng = random.Random(2)
    for sentence in UNIT_SENTENCES:
        for symbol, word in UNITS.items():
            yield {"input": sentence.format(n=rng.randint(2, 90), u=symbol), "answer": word}


def _iter_contacts() -> Iterator[Row]:
    rng = random.Random(3)
    for number in range(64):
        name = f"{rng.choice(FIRST_NAMES)} {rng.choice(LAST_NAMES)}"
        phone = f"0{rng.randint(100, 999)} {rng.randint(10000, 99999)}"
        text = CONTACT_SENTENCES[number % len(CONTACT_SENTENCES)].format(name=name, phone=phone)
        yield {"input": text, "answer": json.dumps({"name": name, "phone": phone})}


def _iter_kinds() -> Iterator[Row]:
    for kind, words in KINDS.items():
        yield from _build_rows((word, kind) for word in words.split())


def _iter_capitals() -> Iterator[Row]:
    for pair in CAPITALS.replace("\n", "|").split("|"):
        country, capital = pair.split(" ")
        yield {"input": country, "answer": capital.replace("_", " ")}


def _iter_negations() -> Iterator[Row]:
    for subject, verb, rest in NEGATED:
        negated = f"{subject} {'cannot' if verb == 'can' else f'{verb} not'} {rest}."
        yield {"input": f"{subject} {verb} {rest}.", "answer": negated}


def _iter_headlines() -> Iterator[Row]:
    for line in HEADLINES:
        text, word = line.split("|")
        yield {"input": text, "contains": [word], "max_words": 7}


def _iter_requests() -> Iterator[Row]:
    for line in RUDE:
        text, word = line.split("|")
        yield {
            "input": text,
            "regex": r"\b(please|could you|would you|may I|kindly)\b",
            "contains": [word],
            "max_words": 16,
        }


def _iter_languages() -> Iterator[Row]:
    for language, sentences in LANGUAGES.items():
        yield from _build_rows((text, language) for text in sentences.replace("\n", "|").split("|"))
