"""Personal data is masked, and text that only resembles it does not change."""

import random
import time

import pytest

from genloom.collect.builtin import load_shakespeare
from genloom.media.text.personal_data import SCRUB_KINDS, scrub_text


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("email", "Write to anna.meyer+news@post.example.org.", "Write to [email]."),
        ("email", "müller@bücher.example, bob@x.co", "[email], [email]"),
        ("phone", "Call +49 421 218-1234 or (030) 123 4567.", "Call [phone] or [phone]."),
        ("phone", "Tel. 0421/2181234, mobile 555-867-5309", "Tel. [phone], mobile [phone]"),
        ("card", "My card 4111 1111 1111 1111 expires", "My card [card] expires"),
        ("card", "5500-0000-0000-0004.", "[card]."),
        ("iban", "IBAN DE89 3704 0044 0532 0130 00 BIC", "IBAN [iban] BIC"),
        ("iban", "to GB29NWBK60161331926819.", "to [iban]."),
        ("iban", "REF AB12 DE89 3704 0044 0532 0130 00 IS MINE", "REF AB12 [iban] IS MINE"),
        ("iban", "MT84MALT011000012345MTLCAST001S, NO9386011117947 AND", "[iban], [iban] AND"),
        ("ip", "from 192.168.17.4 and 2001:db8::ff00:42:8329", "from [ip] and [ip]"),
        ("name", "Dear Anna,\nMr. Smith met Anna.", "Dear [name],\nMr. [name] met [name]."),
        ("name", "My name is Jan van der Berg. Berg said", "My name is [name]. [name] said"),
        ("name", "See you.\n\nBest regards,\nMaria Lopez\n", "See you.\n\nBest regards,\n[name]\n"),
    ],
)
def test_personal_data_is_masked(kind: str, before: str, after: str) -> None:
    text, counts = scrub_text(before, (kind,))
    assert text == after
    assert counts == {kind: after.count(f"[{kind}]")}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("card", "4111 1111 1111 1112 fails its checksum, 0000 0000 0000 0000 means nothing"),
        ("iban", "DE89 3704 0044 0532 0130 01 fails its checksum"),
        ("iban", "GB29NWBK60161331926819X, GB29NWBK60161331926819_ and xGB29NWBK60161331926819 are other words"),
        ("ip", "version 1.2.3, 300.1.1.1 and 127.0.0.1, at 10:30:00, std::vector"),
        ("phone", "on 2024-05-17, 1914-1918, 3.14159265358979, $1,234,567 and 12345678901234567890"),
        ("email", "@property a @ b, user@localhost"),
        ("name", "Dear Sir,\nthe doctor said nothing."),
    ],
)
def test_text_that_only_resembles_personal_data_does_not_change(kind: str, text: str) -> None:
    assert scrub_text(text, (kind,)) == (text, {})


def test_other_kinds_do_not_change() -> None:
    text = "a@example.org 4111 1111 1111 1111"
    assert scrub_text(text, ("card",))[0] == "a@example.org [card]"
    assert scrub_text(text, ())[0] == text


def test_a_play_holds_no_personal_numbers() -> None:
    play = load_shakespeare()[:200_000]
    kinds = tuple(kind for kind in SCRUB_KINDS if kind != "name")
    assert scrub_text(play, kinds) == (play, {})


@pytest.mark.parametrize("kind", SCRUB_KINDS)
def test_a_hostile_text_takes_linear_time(kind: str) -> None:
    draw = random.Random(1)
    tokens = ["AB12" + "".join(draw.choices("0123456789ABCDEF", k=40)) for _ in range(200)]
    hostile = [" ".join(tokens), "AB12CD34" * 1000, "AB12 CDEF GHIJ KLMN " * 450, "1 2-3 " * 1500, "a." * 4500]
    for text in hostile:
        assert _seconds(text * 4, kind) < 10 * _seconds(text, kind) + 0.05
        assert _seconds(text, kind) < 0.5


def _seconds(text: str, kind: str) -> float:
    """The least of three."""
    taken = []
    for _ in range(3):
        start = time.process_time()
        scrub_text(text, (kind,))
        taken.append(time.process_time() - start)
    return min(taken)
