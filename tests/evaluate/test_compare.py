"""Comparison of two held-out losses: the verdict and the reports."""

import json
from dataclasses import replace

import numpy as np
import pytest

from genloom.evaluate.likelihood import BlockLosses, HeldOutLoss, compare_held_out
from genloom.evaluate.text.ngram_baseline import fit_ngram_baseline
from tests.errors import raises_code

SIZES = np.random.default_rng(0).integers(800, 1200, 40)


def make_loss(name, mean, noise=0.01, seed=0, unit="byte"):
    hard = np.random.default_rng(1).normal(0, 0.3, 40)
    own = np.random.default_rng(seed).normal(mean, noise, 40)
    losses = BlockLosses.from_pairs(zip(SIZES * (own + hard), SIZES, strict=True))
    return HeldOutLoss(name, "notes:ab12:validation", losses, unit)


def test_verdicts():
    old = make_loss("notes/1", 1.60, seed=1)
    assert compare_held_out(old, make_loss("notes/2", 1.50, seed=2)).verdict == "better"
    assert compare_held_out(old, make_loss("notes/3", 1.70, seed=3)).verdict == "worse"
    assert compare_held_out(old, old).verdict == "no difference shown"
    unsure = compare_held_out(old, make_loss("notes/4", 1.58, noise=0.2, seed=4))
    assert unsure.verdict == "no difference shown"
    assert "notes/1" in str(unsure)
    assert "notes/4" in str(unsure)
    assert "notes/2" in str(compare_held_out(old, make_loss("notes/2", 1.5)))


def test_one_block_never_gives_a_verdict():
    first = HeldOutLoss("a", "d", BlockLosses.from_pairs([(100.0, 50)]))
    second = HeldOutLoss("b", "d", BlockLosses.from_pairs([(10.0, 50)]))
    comparison = compare_held_out(first, second)
    assert comparison.verdict == "no difference shown"
    assert json.loads(json.dumps(comparison.to_json(), allow_nan=False))["difference"] is None


def test_losses_of_different_objectives_are_not_compared():
    losses = BlockLosses.from_pairs([(1.0, 1), (2.0, 1)])
    flow, vae = (HeldOutLoss(name, "d", losses, "", f"{name} over pixels") for name in ("flow", "variational"))
    assert (flow.metric, flow.key) == ("held-out loss of flow over pixels", "held_out_loss")
    with raises_code(
        "evaluate.different_losses", first="flow", second_metric="held-out loss of variational over pixels"
    ):
        compare_held_out(flow, vae)
    assert compare_held_out(flow, flow).verdict == "no difference shown"


def test_different_datasets_are_not_compared():
    with raises_code("evaluate.different_datasets", first="a", second="b", second_dataset="other"):
        compare_held_out(make_loss("a", 1), replace(make_loss("b", 1), dataset="other"))


@pytest.mark.parametrize(
    ("unit", "metric", "key", "scale"),
    [
        ("byte", "bits per byte", "bits_per_byte", np.log(2)),
        ("heavy atom", "bits per heavy atom", "bits_per_heavy_atom", np.log(2)),
        ("", "held-out loss", "held_out_loss", 1.0),
    ],
)
def test_a_loss_is_in_bits_per_unit_of_the_medium(unit, metric, key, scale):
    held_out_loss = make_loss("a", 1.6, unit=unit)
    assert held_out_loss.metric == metric
    mean = held_out_loss.losses.nats.sum() / held_out_loss.losses.num_units.sum() / scale
    assert held_out_loss.estimate.mean == pytest.approx(mean)
    difference = compare_held_out(held_out_loss, make_loss("b", 1.5, unit=unit)).difference
    assert difference.mean == pytest.approx(-0.1 / scale, rel=0.1)
    report = json.loads(json.dumps(held_out_loss.to_json(), allow_nan=False))
    assert report[key]["low"] < report[key]["mean"] < report[key]["high"]
    assert report["losses"]["nats"] == held_out_loss.losses.nats.tolist()


def test_a_baseline_is_json():
    baseline = fit_ngram_baseline(["some text to count, some more text"], ["some text", "more"])
    report = json.loads(json.dumps(baseline.to_json(), allow_nan=False))
    assert report["order"] == 5
    assert report["losses"]["num_units"] == [9, 4]
    assert baseline.as_baseline().bits_per_unit == baseline.bits_per_byte
