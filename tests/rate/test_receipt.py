"""A receipt describes a learning round in JSON that can be read back, in text, and on a safe HTML page."""

import base64
import json
import re
from dataclasses import replace
from html import escape
from html.parser import HTMLParser

import numpy as np
import pytest

from genloom.rate.calibration import measure_calibration
from genloom.rate.gate import decide_promotion, measure_scores, measure_win_rate
from genloom.rate.report import svg
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
from tests.errors import raises_code

VOID = {"meta", "br"}


def make_receipt(won=30, count=40, worse=1.0, check=0.9, **changes):
    rng = np.random.default_rng(0)
    text = rng.normal(2, 0.2, 30)
    decision = decide_promotion(
        [
            measure_win_rate("held-out ratings", [1.0] * won + [0.0] * (count - won)),
            measure_scores("bits per byte", "regression", text, text * worse, "lower", 0.05),
            measure_scores("valid JSON", "check", [1.0, 1.0, 0.0, 1.0], [1.0, check, 0.0, check]),
        ]
    )
    receipt = Receipt(
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
        measure_calibration([2.0, 1.0, -0.5, 1.5] * 5, [1.0, -0.5]),
        tuple(CurvePoint(n, 1 / n, 0.5 + n / 40) for n in range(1, 21)),
        (Example("What is <b>it</b>?", "perhaps", "<script>alert(1)</script>", "challenger"),),
    )
    return replace(receipt, **changes)


def test_json_can_be_read_back():
    receipt = make_receipt()
    assert from_json(to_json(receipt)) == receipt
    assert (
        compute_digest(from_json(to_json(receipt))) == compute_digest(receipt) != compute_digest(make_receipt(won=29))
    )


def test_receipts_of_older_versions_can_be_read():
    receipt, text = make_receipt(override_reason="ada"), to_json(make_receipt(override_reason="ada")).decode()
    old_keys = {"unpaired": "opinions", "preferred_version": "preferred", "calibration": "judge"}
    old_keys |= {"override_reason": "overruled", "curve_label": "curve_of", "should_promote": "promote"}
    old_keys |= {"tolerance": "allowed", "is_proof": "proof", "is_pairwise": "against"}
    for key, old_key in old_keys.items():
        assert f'"{key}"' in text
        text = text.replace(f'"{key}"', f'"{old_key}"')
    old = text.replace('"alpha"', '"evidence": null, "alpha"')
    assert from_json(old.encode()) == receipt


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"model": 1}', b"\xff"])
def test_other_data_are_not_a_receipt(data):
    with raises_code("rate.not_a_receipt"):
        from_json(data)


def test_the_headline_gives_the_effect_of_the_ratings():
    headline, insignificant = format_headline(make_receipt()), format_headline(make_receipt(won=22))
    assert "83" in headline
    assert "75 % [59, 87]" in headline
    assert "significant" not in headline
    assert "55 % [38, 71]" in insignificant
    assert "not significant" in insignificant
    assert "held out" in format_headline(make_receipt(decision=decide_promotion([])))


def test_the_text_has_verdict_reasons_measures_and_cost():
    text = to_text(make_receipt())
    for part in (
        "notes/2 replaces notes/1",
        "held-out ratings got better",
        "83 ratings of 2 raters on 40 prompts: 60 pairs",
        "2 without effect: a tie",
        "75 %",
        "10 min 41 s: training 10 min 11 s, judging 30 s, 120 steps, 2.0 GiB",
    ):
        assert part in text


def test_a_win_rate_is_one_number_wherever_it_stands():
    receipt = make_receipt(won=22)
    assert "from 50 % to 55 % [38, 71]" in format_headline(receipt)
    assert re.search(r"50 % → 55 % +gain \+5 points \[-12, \+21\]", to_text(receipt))
    assert '<td class="number">50 %</td><td class="number">55 %</td>' in render_page(receipt)


def test_a_rejection_gives_the_reason():
    text = to_text(make_receipt(worse=1.1))
    assert "notes/1 stays in use" in text
    assert "bits per byte got worse" in text
    assert re.search(r"bits per byte .* worse$", text, re.MULTILINE)


def test_an_alarm_is_shown_in_every_form():
    receipt = make_receipt(check=0.0)
    [alarm] = receipt.decision.alarms
    assert alarm in to_text(receipt)
    assert escape(alarm) in render_page(receipt)


def test_the_override_of_the_gate_gives_its_reason():
    receipt = make_receipt(won=22, override_reason="ada, because she likes it")
    assert "ada, because she likes it" in to_text(receipt).splitlines()[0]


class PageChecker(HTMLParser):
    """Checks that tags are closed in order, and collects the tags and all that the page would load or run."""

    def __init__(self):
        super().__init__()
        self.open_tags, self.loads, self.tags, self.parents_of_tables = [], [], [], []
        self.last_attrs = ()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "table":
            self.parents_of_tables.append((self.open_tags[-1], *self.last_attrs))
        self.last_attrs = attrs
        self.loads += [value for name, value in attrs if name in ("src", "href") or name.startswith("on")]
        self.loads += [value for name, value in attrs if name == "xlink:href" and not value.startswith("#")]
        if tag not in VOID:
            self.open_tags.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open_tags.pop() == tag


@pytest.mark.parametrize("settings", [{}, {"won": 21, "worse": 1.1}, {"won": 0}, {"won": 40}])
def test_the_page_is_complete_and_loads_nothing(settings):
    checker = PageChecker()
    checker.feed(render_page(make_receipt(**settings)))
    assert not checker.open_tags
    assert not checker.loads
    assert "script" not in checker.tags
    assert set(checker.parents_of_tables) == {("div", ("class", "scroll"))}, "a narrow screen cuts off no table"
    assert checker.tags.count("svg") == 6, "win rate, three measures, the curve, the reliability"


def test_text_of_others_is_escaped():
    page = render_page(make_receipt())
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page
    assert "What is &lt;b&gt;it&lt;/b&gt;?" in page
    assert "&lt;gone&gt;" in page
    assert "default-src 'none'" in page


def test_a_minimal_receipt_has_a_page_too():
    bare = make_receipt(decision=decide_promotion([]), calibration=None, curve=(), examples=(), method={})
    bare = replace(bare, ratings=replace(bare.ratings, unused={}, raters={}))
    assert "<svg" not in render_page(bare)


@pytest.mark.parametrize("won", [0, 20, 21, 40])
def test_every_number_lies_on_its_chart(won):
    chart = svg.draw_win_rate(measure_win_rate("ratings", [1.0] * won + [0.0] * (40 - won)))
    xs = [float(x) for x in re.findall(r' x="([-\d.]+)"', chart)]
    assert f">{100 * won / 40:.0f} %<" in chart
    assert min(xs) >= 0
    assert max(xs) <= svg.WIDTH


def test_charts_are_the_same_every_time_and_follow_the_theme():
    receipt = make_receipt()
    assert render_page(receipt) == render_page(receipt)
    charts = [svg.draw_win_rate(receipt.decision.measures[0]), *map(svg.draw_gain, receipt.decision.measures)]
    charts += [svg.draw_curve(receipt.curve), svg.draw_reliability(receipt.calibration)]
    for chart in charts:
        assert chart.startswith('<svg viewBox="0 0 ')
        assert 'aria-label="' in chart
        assert "var(--" in chart
        assert not re.search(
            r"#[0-9a-fA-F]{6}\b(?!\")|<metadata|<style|dc:date", re.sub(r'"#\w+"|url\(#\w+\)', "", chart)
        )


@pytest.mark.parametrize(
    ("mime", "tag"),
    [
        ("image/png", "img"),
        ("audio/mpeg", "audio"),
        ("video/mp4", "video"),
        ("text/x-score", "pre"),
        ("model/stl", "a"),
    ],
)
def test_outputs_are_shown_by_their_type(mime, tag):
    shown = tuple((mime, base64.b64encode(data).decode()) for data in (b"<one>", b"two"))
    receipt = make_receipt(examples=(Example("a prompt", "", "", "champion", shown),))
    assert from_json(to_json(receipt)) == receipt
    page, checker = render_page(receipt), PageChecker()
    checker.feed(page.replace("<img ", "<br "))
    assert not checker.open_tags
    assert page.count(f"<{tag} ") == 2
    assert all(load.startswith(f"data:{mime};base64,") for load in checker.loads)
    assert "<one>" not in page


def test_images_in_older_receipts_are_shown():
    receipt = make_receipt(examples=(Example("fox", "", "", "", (("image/png", "AA=="), ("image/png", "AB=="))),))
    old = json.loads(to_json(receipt))
    del old["examples"][0]["shown"]
    old["examples"][0]["pictures"] = ["AA==", "AB=="]
    assert from_json(json.dumps(old).encode()) == receipt
