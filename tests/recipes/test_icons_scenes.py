"""Composed scenes: the same from the same number, true to their captions, and never one that is kept for measuring."""

from itertools import combinations, islice

import numpy as np
import pytest

from recipes.icons.heldout import SHARES, held_out, shown, trained
from recipes.icons.places import PLACES
from recipes.icons.plans import ACTS, COUNTS, POSITIONS, Plan, Thing, drawn, said
from recipes.icons.prompts import candidates, prompt, rows
from recipes.icons.scenes import Painter, Scene
from recipes.icons.vocabulary import NOUNS, article

BLOCK = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
    '<rect x="2" y="4" width="28" height="24" fill="#f92f60"/></svg>'
)


@pytest.fixture(scope="module")
def painter() -> Painter:
    """Draws every noun as the same block: what is tested is where things stand and what is said."""
    return Painter(dict.fromkeys([*(noun.icon for noun in NOUNS.values()), "open-book"], BLOCK), detail=16)


@pytest.fixture(scope="module")
def scenes(painter) -> list[Scene]:
    return [painter.scene(0, index) for index in range(120)]


def centre(box: tuple[float, ...]) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def test_a_scene_is_a_function_of_seed_and_index(painter, scenes):
    again, other = painter.scene(0, 7), painter.scene(1, 7)
    assert (again.image == scenes[7].image).all()
    assert (again.caption, again.get_sample_layout()) == (scenes[7].caption, scenes[7].get_sample_layout())
    assert other.caption != again.caption or (other.image != again.image).any()


def test_pictures_are_of_the_size_asked_for_and_boxes_lie_inside():
    large = Painter({"red-apple": BLOCK}, size=96).paint(Plan((Thing("apple"),)), np.random.default_rng(0))
    assert large is not None
    assert large.picture.shape == (96, 96, 3)
    assert large.picture.dtype == np.uint8
    assert all(0 <= edge <= 1 for thing in large.objects for edge in thing.box)


def test_a_caption_names_everything_that_is_drawn(scenes):
    for scene in scenes:
        for thing in scene.plan.objects:
            noun = NOUNS[thing.noun]
            words = " ".join(each for each in (thing.size, thing.colour) if each)
            assert f"{words} {noun.plural if thing.count > 1 else noun.name}".strip() in scene.caption
            assert thing.count == 1 or COUNTS[thing.count] in scene.caption
            drawn_ = [one for one in scene.objects if (one.noun, one.colour) == (thing.noun, thing.colour)]
            assert len(drawn_) == thing.count
        if len(scene.plan.objects) < 3:
            assert any(phrase in scene.caption for phrase in PLACES[scene.plan.place].phrases)


def test_things_stand_to_one_another_as_said(scenes):
    seen = set()
    for scene in scenes:
        if scene.plan.relation not in POSITIONS:
            continue
        first, second = (
            [centre(one.box) for one in scene.objects if one.noun == thing.noun] for thing in scene.plan.objects
        )
        axis = 0 if scene.plan.relation in ("left of", "right of") else 1
        low, high = (first, second) if scene.plan.relation in ("left of", "above") else (second, first)
        assert max(at[axis] for at in low) < min(at[axis] for at in high) - 0.1
        seen.add(scene.plan.relation)
    assert seen == set(POSITIONS)


def test_things_that_are_counted_do_not_overlap(scenes):
    for scene in scenes:
        if any(thing.count > 1 for thing in scene.plan.objects):
            for a, b in combinations(scene.objects, 2):
                apart = [a.box[2] <= b.box[0], b.box[2] <= a.box[0], a.box[3] <= b.box[1], b.box[3] <= a.box[1]]
                assert any(apart), scene.caption


@pytest.mark.parametrize("relation", ACTS)
def test_an_act_is_drawn_with_both_in_sight(painter, relation):
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


def test_no_training_scene_shows_what_is_kept_for_measuring(scenes):
    assert not any(held_out(*each) for scene in scenes for each in shown(scene.plan))


def test_plans_that_are_left_out_are_few_but_there(painter):
    rng = np.random.default_rng(0)
    left_out = np.mean([not trained(drawn(rng)) for _ in range(400)])
    assert 0.05 < left_out < 0.4


def test_what_is_held_out_does_not_depend_on_how_it_is_said():
    pairs = list(combinations(list(NOUNS)[:30], 2))
    for a, b in pairs:
        assert held_out("two", a, b) == held_out("two", b, a)
        assert held_out("position", a, "left of", b) == held_out("position", b, "right of", a)
        assert held_out("position", a, "above", b) == held_out("position", b, "below", a)
    assert np.mean([held_out("two", a, b) for a, b in pairs]) == pytest.approx(SHARES["two"], abs=0.03)


def test_sitting_on_and_standing_under_count_as_positions():
    plan = Plan((Thing("fox"), Thing("bed")), "on")
    assert ("position", "fox", "above", "bed") in shown(plan)


@pytest.mark.parametrize("task", SHARES)
def test_every_prompt_shows_what_its_task_keeps_and_nothing_of_another(task):
    plans = list(islice(candidates(task), 90))
    assert len(plans) == 90
    assert all({each[0] for each in shown(plan) if held_out(*each)} == {task} for plan in plans)


def test_a_row_says_what_its_prompt_asks_for(painter):
    found = list(rows(painter, each=3))
    assert [row["task"] for row in found] == [task for task in SHARES for _ in range(3)]
    for row in found:
        for thing in row["objects"]:
            noun = NOUNS[thing["noun"]]
            assert (noun.plural if thing["count"] > 1 else noun.name) in row["prompt"]
            assert thing["colour"] in row["prompt"]
        assert row["relation"] in row["prompt"]


def test_grammar():
    rng = np.random.default_rng(0)
    assert article("orange apple") == "an orange apple"
    assert article("unicorn") == "a unicorn"
    assert article("hourglass") == "an hourglass"
    assert Thing("mouse", "red", 3).said() == "three red mice"
    assert prompt(Plan((Thing("apple"), Thing("fox", "blue")), "left of")) == "an apple left of a blue fox"
    moonlit = Plan((Thing("fox", "red"), Thing("book"), Thing("moon")), "reading", "night")
    assert said(moonlit, rng) == "a red fox reading a book under the moon"
