"""Two evaluations side by side: the verdict, the report and its way back."""

import json
from dataclasses import replace

import numpy as np
import pytest

from genloom.evaluate.compare import compare_evaluations
from genloom.evaluate.likelihood import BlockLosses
from genloom.evaluate.report import Evaluation, from_report, to_report
from genloom.evaluate.text.diversity import measure_text_diversity
from genloom.evaluate.text.ngram_baseline import fit_ngram_baseline

SIZES = np.random.default_rng(0).integers(800, 1200, 40)


def evaluation(name, mean, noise=0.01, seed=0):
    hard = np.random.default_rng(1).normal(0, 0.3, 40)
    own = np.random.default_rng(seed).normal(mean, noise, 40)
    return Evaluation(
        name, "notes:ab12:validation", BlockLosses.from_pairs(zip(SIZES * (own + hard), SIZES, strict=True))
    )


def test_verdicts():
    old = evaluation("notes/1", 1.60, seed=1)
    assert compare_evaluations(old, evaluation("notes/2", 1.50, seed=2)).verdict == "better"
    assert compare_evaluations(old, evaluation("notes/3", 1.70, seed=3)).verdict == "worse"
    assert compare_evaluations(old, old).verdict == "no difference shown"
    unsure = compare_evaluations(old, evaluation("notes/4", 1.58, noise=0.2, seed=4))
    assert unsure.verdict == "no difference shown"
    assert "no difference shown between notes/1 and notes/4" in str(unsure)
    assert str(compare_evaluations(old, evaluation("notes/2", 1.5))).startswith("notes/2 is better than notes/1: -0.1")


def test_one_piece_never_gives_a_verdict():
    first = Evaluation("a", "d", BlockLosses.from_pairs([(100.0, 50)]))
    second = Evaluation("b", "d", BlockLosses.from_pairs([(10.0, 50)]))
    both = compare_evaluations(first, second)
    assert both.verdict == "no difference shown"
    assert "one piece" in str(both)
    assert json.loads(json.dumps(both.to_report(), allow_nan=False))["difference"] is None


def test_only_like_is_compared_with_like():
    with pytest.raises(ValueError, match="evaluate both on one dataset"):
        compare_evaluations(evaluation("a", 1), replace(evaluation("b", 1), dataset="other"))


def test_a_report_is_json_and_comes_back():
    whole = replace(
        evaluation("notes/1", 1.6),
        floor=fit_ngram_baseline(["some text to count, some more text"], ["some text", "more"]),
        variety=measure_text_diversity(["one sample", "another sample"]),
    )
    for one in (whole, evaluation("notes/2", 1.5)):
        kept = json.loads(json.dumps(to_report(one), allow_nan=False))
        again = from_report(kept)
        assert to_report(again) == to_report(one)
        assert again.diversity == one.variety
        assert compare_evaluations(one, again).difference.mean == 0
    report = to_report(whole)
    assert report["bits_per_byte"]["low"] < report["bits_per_byte"]["mean"] < report["bits_per_byte"]["high"]
    assert report["floor"]["order"] == 5
    with pytest.raises(ValueError, match="damaged"):
        from_report({"model": "x"})
