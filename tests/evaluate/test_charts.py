"""Charts show their numbers, and matplotlib is not imported until one is drawn."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from genloom.evaluate.charts import draw_accuracy_bars, draw_comparison, draw_loss_bars, draw_training_curve
from genloom.evaluate.likelihood import BlockLosses, HeldOutLoss, compare_held_out
from genloom.evaluate.scores import Score
from genloom.evaluate.text.ngram_baseline import fit_ngram_baseline

BLUE, RED, GREEN = (0, 114, 178), (213, 94, 0), (0, 158, 115)


def decode_pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def count_pixels(png, colour):
    return int((np.abs(decode_pixels(png) - colour).max(-1) < 12).sum())


def make_loss(name, bits, count=12):
    sizes = np.full(count, 1000)
    costs = sizes * np.random.default_rng(0).normal(bits, 0.02, count) * np.log(2)
    return HeldOutLoss(name, "d", BlockLosses.from_pairs(zip(costs, sizes, strict=True)))


def test_bars_grow_with_the_number():
    png = draw_loss_bars([make_loss("a", 1.0), make_loss("b", 1.9)])
    assert decode_pixels(png).shape[1] == 1200
    blue = (np.abs(decode_pixels(png) - BLUE).max(-1) < 12).sum(1)
    first, second = blue[: len(blue) // 2].max(), blue[len(blue) // 2 :].max()
    assert second / first == pytest.approx(1.9, abs=0.05)


def test_an_ngram_baseline_adds_a_bar():
    baseline = fit_ngram_baseline(["a text to count " * 9], ["a text"]).as_baseline()
    without, with_baseline = (draw_loss_bars([make_loss("a", 1.5)], each) for each in (None, baseline))
    assert len(decode_pixels(with_baseline)) > len(decode_pixels(without))


def test_a_negative_loss_has_a_bar():
    losses = BlockLosses.from_pairs([(-1.0, 1.0), (-1.2, 1.0), (-0.9, 1.0)])
    assert count_pixels(draw_loss_bars([HeldOutLoss("a", "d", losses, unit="")]), BLUE) > 1000


def test_the_accuracy_chart_draws_a_bar_per_task():
    scores = [Score("prompts", task, (1.0, 0.0, 1.0), 0.0, 0.97) for task in ("one", "two")]
    assert count_pixels(draw_accuracy_bars(scores, "asked"), BLUE) > 10_000


def test_a_comparison_has_the_colour_of_its_verdict():
    better = draw_comparison(compare_held_out(make_loss("a", 1.6), make_loss("b", 1.4)))
    worse = draw_comparison(compare_held_out(make_loss("a", 1.4), make_loss("b", 1.6)))
    assert (count_pixels(better, GREEN) > 50, count_pixels(better, RED)) == (True, 0)
    assert (count_pixels(worse, RED) > 50, count_pixels(worse, GREEN)) == (True, 0)
    undecided = draw_comparison(compare_held_out(make_loss("a", 1.4, 1), make_loss("b", 1.6, 1)))
    assert count_pixels(undecided, RED) == 0


@pytest.mark.parametrize("steps", [0, 1, 3, 400])
def test_a_curve_of_any_length(steps):
    losses = [3 + 4 / (step + 1) for step in range(steps)]
    held_out = [(step, losses[step]) for step in range(0, steps, 100)]
    png = draw_training_curve(range(steps), losses, held_out, baseline=2.9, title="Toy", unit="nats per character")
    assert decode_pixels(png).shape == (720, 1200, 3)
    if steps == 400:
        assert count_pixels(png, BLUE) > 500
        assert count_pixels(png, RED) > 100


def test_importing_charts_does_not_import_matplotlib():
    code = "import sys, genloom.evaluate.charts; sys.exit('matplotlib' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
