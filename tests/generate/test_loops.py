"""Texts that repeat themselves are found; refrains, code, lists and tables are not."""

import pytest

from genloom.generate.loops import has_loop

PIRATE = "She's me, and she'll be me forever."
POEM = "\n".join(["Row, row, row your boat", "Gently down the stream", "Merrily, merrily", "Life is but a dream"] * 2)


@pytest.mark.parametrize(
    "text",
    [
        "You are a pirate. " + f"{PIRATE} " * 3,
        "You are a pirate.\n" + f"{PIRATE}\n" * 4,
        "It is very " + "very " * 30,
        "ha" * 60,
        "".join(f"{PIRATE}\nNumber {n} is another line\n" for n in range(7)),
    ],
)
def test_a_loop_is_found(text: str) -> None:
    assert has_loop(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A sentence. Another sentence. A third one, and no more.",
        "Row, row, row your boat, gently down the stream. Merrily, merrily, merrily, merrily, life is but a dream.",
        POEM,
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        "=" * 100,
        "".join(f"{n}. The {n}th item\n" for n in range(1, 40)),
        "def f(x):\n    return x\n\n\n" * 2,
        "    }\n" * 12,
        f"{PIRATE} {PIRATE} ",
    ],
)
def test_what_repeats_for_a_reason_is_no_loop(text: str) -> None:
    assert not has_loop(text)
