"""Things beyond the vocabulary: which icons they are, their plurals, and how scenes show and say them."""

import numpy as np
import pytest

from recipes.icons.fetch import Icon
from recipes.icons.heldout import is_held_out, list_combinations
from recipes.icons.other_prompts import iter_rows
from recipes.icons.plans import FORMS, Plan, Thing, describe_plan, sample_plan
from recipes.icons.scenes import Painter
from recipes.icons.things import ROLES, build_plural, list_other_things
from recipes.icons.vocabulary import NOUNS

BLOCK = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
    '<rect x="2" y="4" width="28" height="24" fill="#f92f60"/></svg>'
)


def icon(label: str, category: str) -> Icon:
    return Icon("noto", label.replace(" ", "-"), BLOCK, label, (), category, "Apache-2.0", "")


OTHERS = list_other_things(
    [
        *(icon(label, "Animals & Nature") for label in ("flamingo", "tiger face", "tulip", "fox")),
        *(icon(label, "Food & Drink") for label in ("cheese wedge", "fries", "rice ball")),
        *(icon(label, "Objects") for label in ("violin", "scissors", "salt", "black and white")),
        *(icon(label, "Travel & Places") for label in ("lighthouse", "night with stars")),
        icon("grinning face", "Smileys & Emotion"),
    ]
)


def test_labels_of_single_things_are_nouns_with_a_role() -> None:
    found = {role: [thing.noun for thing in things] for role, things in OTHERS.items()}
    assert found == {
        "animal": ["flamingo", "tiger"],
        "food": ["cheese wedge"],
        "object": ["tulip", "violin"],
        "place": ["lighthouse"],
    }
    assert set(found) == set(ROLES)


@pytest.mark.parametrize(
    ("noun", "plural"),
    [("fox", "foxes"), ("cherry", "cherries"), ("toy", "toys"), ("sheep", "sheep"), ("cheese wedge", "cheese wedges")],
)
def test_plurals(noun: str, plural: str) -> None:
    assert build_plural(noun) == plural


def test_scenes_show_other_things_beside_those_of_the_vocabulary() -> None:
    svgs = dict.fromkeys([*(noun.icon for noun in NOUNS.values()), "open-book"], BLOCK)
    svgs |= {thing.icon: BLOCK for things in OTHERS.values() for thing in things}
    painter = Painter(svgs, detail=16, others=OTHERS)
    scenes = [painter.scene(3, number) for number in range(80)]
    others = [thing for scene in scenes for thing in scene.plan.things if thing.icon]
    assert 20 < len(others) < sum(len(scene.plan.things) for scene in scenes)
    for scene in scenes:
        assert not any(is_held_out(*each) for each in list_combinations(scene.plan))
        for thing in scene.plan.things:
            assert (thing.noun if thing.count == 1 else thing.plural or NOUNS[thing.noun].plural) in scene.caption
            assert any(drawn.noun == thing.noun for drawn in scene.objects)


def test_acts_exchange_what_can_take_the_part() -> None:
    rng = np.random.default_rng(0)
    plans = [plan for plan in (sample_plan(rng, OTHERS) for _ in range(1500)) if plan.acts]
    animals, foods = ({thing.noun for thing in OTHERS[role]} for role in ("animal", "food"))
    assert all(plan.things[0].noun in animals for plan in plans if plan.things[0].icon)
    eaten = [plan.things[1] for plan in plans if plan.relation == "eating" and plan.things[1].icon]
    assert eaten
    assert {thing.noun for thing in eaten} <= foods
    assert not any(plan.things[1].icon for plan in plans if plan.relation in ("wearing", "riding", "reading"))


def test_things_are_named_in_reading_order() -> None:
    def describe(*things: str, relation: str = "") -> set[str]:
        plan = Plan(tuple(map(Thing, things)), relation)
        return {describe_plan(plan, np.random.default_rng(seed)) for seed in range(60)}

    assert describe("fox", "cat", "owl") == {"a fox, a cat and an owl"}
    assert {"a fox and a cat", "a fox left of a cat"} <= describe("fox", "cat", relation="left of")
    assert {"a cat and a fox", "a fox right of a cat"} <= describe("fox", "cat", relation="right of")
    assert not any(text.startswith("a cat") and " and " in text for text in describe("fox", "cat", relation="above"))


def test_the_second_battery_asks_for_held_out_combinations_with_other_nouns() -> None:
    things = [thing for things in OTHERS.values() for thing in things]
    rows = list(iter_rows(things, {"one": 6, "two": 6, "counting": 2, "position": 6}))
    nouns = {thing.noun for thing in things}
    assert [row["task"] for row in rows] == ["one"] * 6 + ["two"] * 6 + ["counting"] * 2 + ["position"] * 6
    assert len({row["prompt"] for row in rows}) == len(rows)
    for row in rows:
        assert nouns & {thing["noun"] for thing in row["objects"]}
        if row["task"] == "two":
            assert is_held_out("two", *(thing["noun"] for thing in row["objects"]))


def test_an_unusual_arrangement_is_named() -> None:
    for count, forms in FORMS.items():
        for name, phrase in forms.items():
            plan = Plan((Thing("fox", count=count),), form=name)
            assert phrase in describe_plan(plan, np.random.default_rng(0))
