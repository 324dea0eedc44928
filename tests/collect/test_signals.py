"""Language and quality are estimated from bounded samples."""

import base64
import json
import random
from pathlib import Path

import pytest

from genloom.collect.builtin import load_shakespeare
from genloom.collect.text.language import detect_language
from genloom.collect.text.quality import score_quality


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("This is a short English sentence about the weather.", "en"),
        ("Das ist ein kurzer Text über das Wetter in Bremen.", "de"),
        ("Il était une fois une petite fille qui aimait la mer", "fr"),
        ("吾輩は猫である。名前はまだ無い。どこで生れたか", "ja"),
        ("Привет, как дела? Сегодня хорошая погода", "ru"),
        ("12 34 56", "und"),
        ("", "und"),
    ],
)
def test_languages(text: str, code: str) -> None:
    assert detect_language(text) == code


def test_prose_verse_and_code_have_a_high_quality_and_noise_has_not() -> None:
    draw = random.Random(1)
    assert score_quality(load_shakespeare()) > 0.95
    assert score_quality(Path(json.__file__).read_text(encoding="utf-8")) > 0.9
    assert score_quality("Широка страна моя родная, много в ней лесов, полей и рек. " * 3) > 0.9
    assert score_quality("吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。") > 0.9
    assert score_quality("\n".join(f"{draw.random()},{draw.random()}" for _ in range(300))) < 0.1
    assert score_quality(base64.b64encode(draw.randbytes(3000)).decode()) < 0.1
    assert score_quality("all work and no play\n" * 200) < 0.3
    assert score_quality("") == 0
