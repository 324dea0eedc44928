"""A receipt says what a learning round did, in JSON that comes back, in text, and on a page that is safe to open."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from genloom.rate.calibration import calibrate
from genloom.rate.gate import decide_promotion, measure_scores, measure_win_rate
from genloom.rate.report.html import render_page
from genloom.rate.report.receipt import (
    Cost,
    CurvePoint,
    Example,
    RatingSummary,
    Receipt,
    compute_digest,
    format_headline,
    from_json,
    to_json,
    to_text,
)

VOID = {"meta", "br", "line", "circle", "rect", "polyline"}


def receipt(won=30, of=40, worse=1.0, check=0.9, **changes):
    draw = np.random.default_rng(0)
    text = draw.normal(2, 0.2, 30)
    decision = decide_promotion(
        [
            measure_win_rate("held-out ratings", [1.0] * won + [0.0] * (of - won)),
            measure_scores("bits per byte", "regression", text, text * worse, "lower", 0.05),
            measure_scores("valid JSON", "check", [1.0, 1.0, 0.0, 1.0], [1.0, check, 0.0, check]),
        ]
    )
    made = Receipt(
        "notes",
        "notes/1",
        "notes/2",
        "2026-11-22T02:10:00Z",
        RatingSummary(
            83, 60, 9, 40, 21, 12, 2, 1, {"ada": 1.0, "ben": 0.5}, {"e1": "a tie", "e2": "a tie", "e3": "<gone>"}
        ),
        {"objective": "DPO", "beta": 0.1, "per unit": True},
        decision,
        Cost({"training": 611.0, "judging": 30.0}, 120, 2**31, "2 cores"),
        calibrate([2.0, 1.0, -0.5, 1.5] * 5, [1.0, -0.5]),
        tuple(CurvePoint(n, 1 / n, 0.5 + n / 40) for n in range(1, 21)),
        (Example("What is <b>it</b>?", "perhaps", "<script>alert(1)</script>", "challenger"),),
    )
    return replace(made, **changes)


def test_json_comes_back_as_it_was():
    one = receipt()
    assert from_json(to_json(one)) == one
    assert compute_digest(from_json(to_json(one))) == compute_digest(one) != compute_digest(receipt(won=29))


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"model": 1}', b"\xff"])
def test_what_is_no_receipt_is_refused(data):
    with pytest.raises(ValueError, match="no receipt"):
        from_json(data)


def test_the_headline_says_what_so_many_ratings_did():
    assert (
        format_headline(receipt())
        == "Your 83 ratings moved the win rate on held-out ratings from 50 % to 75 % [59, 87]."
    )
    assert format_headline(receipt(won=22)).endswith("55 % [38, 71], which chance alone could have done.")
    nothing = format_headline(receipt(decision=decide_promotion([])))
    assert nothing == "Your 83 ratings could not be judged: nothing was held out."


def test_the_text_holds_verdict_reasons_measures_and_cost():
    said = to_text(receipt())
    for wanted in (
        "Promoted: notes/2 replaces notes/1.",
        "held-out ratings got better",
        "83 ratings of 2 raters on 40 prompts: 60 pairs and 9 single opinions; 21 of them, on 12 prompts, only judged.",
        "2 without effect: a tie",
        "agrees with the raters on 75 %",
        "11 min: training 10 min, judging 30 s, 120 steps, 2.0 GiB of memory at most, 2 cores",
    ):
        assert wanted in said


def test_a_refusal_says_why():
    said = to_text(receipt(worse=1.1))
    assert "Kept: notes/1 stays in use" in said
    assert "bits per byte got worse" in said
    assert re.search(r"bits per byte .* worse$", said, re.MULTILINE)


def test_an_alarm_stands_in_every_form():
    one = receipt(check=0.0)
    assert "ALARM: Taste rises while valid JSON falls" in to_text(one)
    assert "Taste rises while valid JSON falls" in render_page(one)


def test_who_overruled_the_gate_is_named():
    one = receipt(won=22, override_reason="ada, because she likes it")
    assert to_text(one).startswith("The gate was overruled: ada, because she likes it")


class Reader(HTMLParser):
    """Checks that tags are closed in order, and gathers what the page would load or run."""

    def __init__(self):
        super().__init__()
        self.open, self.loads, self.seen = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.loads += [value for name, value in attrs if name in ("src", "href") or name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("settings", [{}, {"won": 21, "worse": 1.1}, {"won": 0}, {"won": 40}])
def test_the_page_is_whole_and_loads_nothing(settings):
    reader = Reader()
    reader.feed(render_page(receipt(**settings)))
    assert not reader.open
    assert not reader.loads
    assert "script" not in reader.seen
    assert reader.seen.count("svg") == 6, "win rate, three measures, the curve, the judge"


def test_what_others_wrote_is_text_on_the_page():
    made = render_page(receipt())
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in made
    assert "<script" not in made
    assert "What is &lt;b&gt;it&lt;/b&gt;?" in made
    assert "&lt;gone&gt;" in made
    assert "default-src 'none'" in made


def test_a_bare_receipt_has_a_page_too():
    bare = receipt(decision=decide_promotion([]), calibration=None, curve=(), examples=(), method={})
    bare = replace(bare, ratings=replace(bare.ratings, unused={}, raters={}))
    made = render_page(bare)
    assert "nothing was held out" in made
    assert "every rating that stands taught or judged" in made
    assert "<svg" not in made


def test_every_drawn_number_lies_on_its_chart():
    for won in (0, 20, 21, 40):
        svg = re.search(r"<svg.*?</svg>", render_page(receipt(won=won)))
        assert svg
        xs = [float(x) for x in re.findall(r'(?:cx|x|x1|x2)="([-\d.]+)"', svg.group())]
        assert min(xs) >= 0
        assert max(xs) <= 640
