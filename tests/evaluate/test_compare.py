"""Comparison of two evaluations: the verdict and the reports."""

import json
from dataclasses import replace

import numpy as np

from genloom.evaluate.compare import compare_evaluations
from genloom.evaluate.likelihood import BlockLosses
from genloom.evaluate.report import Evaluation, to_report
from genloom.evaluate.text.diversity import measure_text_diversity
from genloom.evaluate.text.ngram_baseline import fit_ngram_baseline
from tests.errors import raises_code

SIZES = np.random.default_rng(0).integers(800, 1200, 40)


def make_evaluation(name, mean, noise=0.01, seed=0):
    hard = np.random.default_rng(1).normal(0, 0.3, 40)
    own = np.random.default_rng(seed).normal(mean, noise, 40)
    return Evaluation(
        name, "notes:ab12:validation", BlockLosses.from_pairs(zip(SIZES * (own + hard), SIZES, strict=True))
    )


def test_verdicts():
    old = make_evaluation("notes/1", 1.60, seed=1)
    assert compare_evaluations(old, make_evaluation("notes/2", 1.50, seed=2)).verdict == "better"
    assert compare_evaluations(old, make_evaluation("notes/3", 1.70, seed=3)).verdict == "worse"
    assert compare_evaluations(old, old).verdict == "no difference shown"
    unsure = compare_evaluations(old, make_evaluation("notes/4", 1.58, noise=0.2, seed=4))
    assert unsure.verdict == "no difference shown"
    assert "notes/1" in str(unsure)
    assert "notes/4" in str(unsure)
    assert "notes/2" in str(compare_evaluations(old, make_evaluation("notes/2", 1.5)))


def test_one_block_never_gives_a_verdict():
    first = Evaluation("a", "d", BlockLosses.from_pairs([(100.0, 50)]))
    second = Evaluation("b", "d", BlockLosses.from_pairs([(10.0, 50)]))
    comparison = compare_evaluations(first, second)
    assert comparison.verdict == "no difference shown"
    assert json.loads(json.dumps(comparison.to_report(), allow_nan=False))["difference"] is None


def test_different_datasets_are_not_compared():
    with raises_code("evaluate.different_datasets", first="a", second="b", second_dataset="other"):
        compare_evaluations(make_evaluation("a", 1), replace(make_evaluation("b", 1), dataset="other"))


def test_a_report_is_json():
    evaluation = replace(
        make_evaluation("notes/1", 1.6),
        ngram_baseline=fit_ngram_baseline(["some text to count, some more text"], ["some text", "more"]),
        diversity=measure_text_diversity(["one sample", "another sample"]),
    )
    report = json.loads(json.dumps(to_report(evaluation), allow_nan=False))
    assert report["model"] == "notes/1"
    assert report["bits_per_byte"]["low"] < report["bits_per_byte"]["mean"] < report["bits_per_byte"]["high"]
    assert report["ngram_baseline"]["order"] == 5
    assert report["ngram_baseline"]["losses"]["num_bytes"] == [9, 4]
    assert report["diversity"]["count"] == 2
    assert report["losses"]["nats"] == evaluation.losses.nats.tolist()
    assert to_report(make_evaluation("notes/2", 1.5))["ngram_baseline"] is None
