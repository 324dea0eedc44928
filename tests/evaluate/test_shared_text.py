"""Excerpts, new cuts and edits of training text are found in held-out documents; other text is not."""

import random

from genloom.evaluate.text.shared_text import find_shared_documents
from genloom.types import Item, Message

WORDS = [a + b for a in ("ka", "lo", "mi", "nu", "re", "so") for b in ("pt", "nd", "rk", "st", "ll", "mb")]


def make_text(seed: int, count: int = 200) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=count))


def test_excerpts_and_edits_share_text() -> None:
    training = [make_text(seed) for seed in range(20)]
    words = training[3].split()
    held_out = [
        make_text(100),
        " ".join(words[20:120]),  # an excerpt
        ", ".join(words[:50]).upper() + ".",  # in capitals
        " ".join(words[150:] + training[4].split()[:50]),  # cut at another place
        " ".join([*words[:40], *make_text(101, 160).split()]),  # a quotation
        " ".join("changed" if n % 20 == 0 else word for n, word in enumerate(words)),
        "two words",
    ]
    assert find_shared_documents(map(Item, held_out), map(Item, training)) == [1, 2, 3, 5]
    assert find_shared_documents(map(Item, held_out), []) == []


def test_a_system_prompt_is_no_shared_text() -> None:
    system = Message("system", make_text(0))

    def build_item(seed: int) -> Item:
        turns = (system, Message("user", make_text(seed, 10)), Message("assistant", make_text(seed + 1, 20)))
        return Item("shown", meta={"turns": turns})

    assert find_shared_documents([build_item(1), build_item(50)], [build_item(1), build_item(20)]) == [0]
