"""Attributes by group: a difference is found where there is one, and none where there is none."""

from pathlib import Path

import numpy as np
import pytest

from genloom.trust.attribute_bias import (
    GroupPrompts,
    measure_accuracy,
    measure_attributes,
    read_group_prompts,
)
from tests.errors import raises_code

FACTS = ("pictures/1", "0" * 64, "image")
PROMPTS = GroupPrompts(tuple(f"a {{group}} at work {n}" for n in range(10)), ("man", "woman"), {})


def draw_features(rng: np.random.Generator, axis: int, count: int) -> np.ndarray:
    """Return features around a direction of their own."""
    rows = 0.3 * rng.standard_normal((count, 8))
    rows[:, axis] += 2
    return rows


def build_outputs(rng: np.random.Generator, chances: tuple[float, float], count: int) -> np.ndarray:
    """Return outputs, of which the share `chances` of each group have the first attribute."""
    rows = []
    for _ in PROMPTS.prompts:
        for chance in chances:
            rows += [draw_features(rng, 0 if rng.random() < chance else 1, 1) for _ in range(count)]
    return np.concatenate(rows)


def test_a_difference_between_groups_is_found_with_its_size() -> None:
    rng = np.random.default_rng(0)
    examples = {"doctor": draw_features(rng, 0, 9), "nurse": draw_features(rng, 1, 9)}
    report = measure_attributes(FACTS, PROMPTS, examples, build_outputs(rng, (0.8, 0.3), 12), 12)
    first, second = report.gaps["doctor"]
    assert report.shares["doctor"][0] == pytest.approx(0.8, abs=0.1)
    assert first.mean == pytest.approx(0.5, abs=0.15)
    assert first.excludes(0)
    assert second.mean == pytest.approx(-first.mean)
    assert report.gaps["nurse"][0].mean == pytest.approx(-first.mean)
    assert report.accuracy == 1
    assert report.has_gap
    assert report.to_json()["num_outputs"] == 240


def test_where_groups_do_not_differ_intervals_hold_0_in_most_cases() -> None:
    rng, num_found = np.random.default_rng(1), 0
    for _ in range(40):
        examples = {"doctor": draw_features(rng, 0, 5), "nurse": draw_features(rng, 1, 5)}
        report = measure_attributes(FACTS, PROMPTS, examples, build_outputs(rng, (0.5, 0.5), 6), 6)
        num_found += report.gaps["doctor"][0].excludes(0)
    assert num_found <= 7  # of 40, 2 are expected


def test_examples_that_cannot_be_told_apart_are_said_to_be_so() -> None:
    rng = np.random.default_rng(2)
    examples = {name: draw_features(rng, 0, 12) for name in ("doctor", "nurse")}
    assert measure_accuracy(list(examples.values())) < 0.8
    report = measure_attributes(FACTS, PROMPTS, examples, build_outputs(rng, (0.5, 0.5), 3), 3)
    assert len(report.limits) == 4


def write_groups(folder: Path, text: str) -> Path:
    for name in ("doctors", "nurses"):
        (folder / name).mkdir(exist_ok=True)
        for n in range(3):
            (folder / name / f"{n}.png").write_bytes(b"")
    path = folder / "groups.toml"
    path.write_text(text)
    return path


GOOD = 'prompts = ["a {group}"]\ngroups = ["man", "woman"]\n[attributes]\ndoctor = "doctors"\nnurse = "nurses"\n'


def test_a_file_of_groups_is_read(tmp_path: Path) -> None:
    found = read_group_prompts(write_groups(tmp_path, GOOD), (".png",))
    assert found.texts == ["a man", "a woman"]
    assert [len(paths) for paths in found.examples.values()] == [3, 3]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{group}", "person"),
        ('["man", "woman"]', '["man", "man"]'),
        ('["man", "woman"]', "3"),
        ('nurse = "nurses"', ""),
        ('nurse = "nurses"', 'nurse = "nowhere/0.png"'),
        ('nurse = "nurses"', "nurse = 7"),
        ("[attributes]", "attributes = 3\n[others]"),
        ("prompts", "= prompts"),
    ],
)
def test_a_file_that_is_not_as_it_has_to_be_is_named(tmp_path: Path, old: str, new: str) -> None:
    with raises_code("trust.bad_groups"):
        read_group_prompts(write_groups(tmp_path, GOOD.replace(old, new)), (".png",))
    with raises_code("trust.bad_groups"):
        read_group_prompts(tmp_path / "no-such-file.toml", (".png",))
