"""Composed scenes: reproducible, true to their captions, and without held-out combinations."""

from itertools import combinations, islice

import numpy as np
import pytest

from recipes.icons.heldout import SHARES, is_held_out, is_trainable, list_combinations
from recipes.icons.places import PLACES
from recipes.icons.plans import ACTS, COUNTS, POSITIONS, Plan, Thing, describe_plan, sample_plan
from recipes.icons.prompts import build_prompt, iter_candidates, iter_rows
from recipes.icons.scenes import Painter, Scene
from recipes.icons.vocabulary import NOUNS, with_article

BLOCK = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
    '<rect x="2" y="4" width="28" height="24" fill="#f92f60"/></svg>'
)


@pytest.fixture(scope="module")
def painter() -> Painter:
    """Draws every noun as the same block, since the tests are of layouts and captions."""
    return Painter(dict.fromkeys([*(noun.icon for noun in NOUNS.values()), "open-book"], BLOCK), detail=16)


@pytest.fixture(scope="module")
def scenes(painter) -> list[Scene]:
    return [painter.scene(0, index) for index in range(120)]


def centre(box: tuple[float, ...]) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def test_a_scene_is_a_function_of_seed_and_index(painter, scenes):
    again, other = painter.scene(0, 7), painter.scene(1, 7)
    assert (again.picture == scenes[7].picture).all()
    assert (again.caption, again.layout()) == (scenes[7].caption, scenes[7].layout())
    assert other.caption != again.caption or (other.picture != again.picture).any()


def test_images_have_the_requested_size_and_contain_their_boxes():
    large = Painter({"red-apple": BLOCK}, size=96).paint(Plan((Thing("apple"),)), np.random.default_rng(0))
    assert large is not None
    assert large.picture.shape == (96, 96, 3)
    assert large.picture.dtype == np.uint8
    assert all(0 <= edge <= 1 for thing in large.objects for edge in thing.box)


def test_a_caption_names_every_thing(scenes):
    for scene in scenes:
        for thing in scene.plan.things:
            noun = NOUNS[thing.noun]
            words = " ".join(each for each in (thing.size, thing.colour) if each)
            assert f"{words} {noun.plural if thing.count > 1 else noun.name}".strip() in scene.caption
            assert thing.count == 1 or COUNTS[thing.count] in scene.caption
            drawn_ = [one for one in scene.objects if (one.noun, one.colour) == (thing.noun, thing.colour)]
            assert len(drawn_) == thing.count
        if len(scene.plan.things) < 3:
            assert any(phrase in scene.caption for phrase in PLACES[scene.plan.place].phrases)


def test_positions_match_the_caption(scenes):
    seen = set()
    for scene in scenes:
        if scene.plan.relation not in POSITIONS:
            continue
        first, second = (
            [centre(one.box) for one in scene.objects if one.noun == thing.noun] for thing in scene.plan.things
        )
        axis = 0 if scene.plan.relation in ("left of", "right of") else 1
        low, high = (first, second) if scene.plan.relation in ("left of", "above") else (second, first)
        assert max(at[axis] for at in low) < min(at[axis] for at in high) - 0.1
        seen.add(scene.plan.relation)
    assert seen == set(POSITIONS)


def test_counted_things_do_not_overlap(scenes):
    for scene in scenes:
        if any(thing.count > 1 for thing in scene.plan.things):
            for a, b in combinations(scene.objects, 2):
                apart = [a.box[2] <= b.box[0], b.box[2] <= a.box[0], a.box[3] <= b.box[1], b.box[3] <= a.box[1]]
                assert any(apart), scene.caption


@pytest.mark.parametrize("relation", ACTS)
def test_an_act_shows_both_things(painter, relation):
    plan = Plan((Thing("fox"), Thing(ACTS[relation][0], "blue")), relation)
    scene = painter.paint(plan, np.random.default_rng(0))
    assert scene is not None
    boxes = {thing.noun: thing.box for thing in scene.objects}
    who, what = (centre(boxes[thing.noun]) for thing in plan.things)
    if relation in ("wearing", "under"):
        assert what[1] < who[1]
    elif relation == "on":
        assert who[1] < what[1]
    assert who != what


def test_no_training_scene_shows_a_held_out_combination(scenes):
    assert not any(is_held_out(*each) for scene in scenes for each in list_combinations(scene.plan))


def test_some_plans_are_held_out(painter):
    rng = np.random.default_rng(0)
    left_out = np.mean([not is_trainable(sample_plan(rng)) for _ in range(400)])
    assert 0.05 < left_out < 0.4


def test_held_out_combinations_do_not_depend_on_their_order():
    pairs = list(combinations(list(NOUNS)[:30], 2))
    for a, b in pairs:
        assert is_held_out("two", a, b) == is_held_out("two", b, a)
        assert is_held_out("position", a, "left of", b) == is_held_out("position", b, "right of", a)
        assert is_held_out("position", a, "above", b) == is_held_out("position", b, "below", a)
    assert np.mean([is_held_out("two", a, b) for a, b in pairs]) == pytest.approx(SHARES["two"], abs=0.03)


def test_sitting_on_and_standing_under_count_as_positions():
    plan = Plan((Thing("fox"), Thing("bed")), "on")
    assert ("position", "fox", "above", "bed") in list_combinations(plan)


@pytest.mark.parametrize("task", SHARES)
def test_every_prompt_is_held_out_for_its_task_only(task):
    plans = list(islice(iter_candidates(task), 90))
    assert len(plans) == 90
    assert all({each[0] for each in list_combinations(plan) if is_held_out(*each)} == {task} for plan in plans)


def test_a_row_lists_the_requested_objects(painter):
    found = list(iter_rows(painter, per_task=3))
    assert [row["task"] for row in found] == [task for task in SHARES for _ in range(3)]
    for row in found:
        for thing in row["objects"]:
            noun = NOUNS[thing["noun"]]
            assert (noun.plural if thing["count"] > 1 else noun.name) in row["prompt"]
            assert thing["colour"] in row["prompt"]
        assert row["relation"] in row["prompt"]


def test_grammar():
    rng = np.random.default_rng(0)
    assert with_article("orange apple") == "an orange apple"
    assert with_article("unicorn") == "a unicorn"
    assert with_article("hourglass") == "an hourglass"
    assert Thing("mouse", "red", 3).describe() == "three red mice"
    assert build_prompt(Plan((Thing("apple"), Thing("fox", "blue")), "left of")) == "an apple left of a blue fox"
    moonlit = Plan((Thing("fox", "red"), Thing("book"), Thing("moon")), "reading", "night")
    assert describe_plan(moonlit, rng) == "a red fox reading a book under the moon"
