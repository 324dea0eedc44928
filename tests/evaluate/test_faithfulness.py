import json

import pytest

from genloom.evaluate.image.detector import Detection
from genloom.evaluate.image.prompt_following import (
    TASKS,
    RequestedObject,
    ScenePrompt,
    is_prompt_satisfied,
    load_prompts,
    score_prompts,
)


def found(*things: tuple[str, str, float, float]) -> list[Detection]:
    return [Detection(noun, colour, x, y, 0.9) for noun, colour, x, y in things]


CAT, DOG = ("cat", "orange", 0.25, 0.5), ("dog", "brown", 0.75, 0.5)


def test_one_thing_among_others_is_enough():
    asked = ScenePrompt("one", "a cat", (RequestedObject("cat"),))
    assert is_prompt_satisfied(asked, found(CAT, DOG))
    assert not is_prompt_satisfied(asked, found(DOG))


def test_two_things_must_both_be_there():
    asked = ScenePrompt("two", "a cat and a dog", (RequestedObject("cat"), RequestedObject("dog")))
    assert is_prompt_satisfied(asked, found(DOG, CAT))
    assert not is_prompt_satisfied(asked, found(CAT))


def test_counting_wants_exactly_so_many():
    asked = ScenePrompt("counting", "two cats", (RequestedObject("cat", count=2),))
    assert [is_prompt_satisfied(asked, found(*[CAT] * n)) for n in (1, 2, 3)] == [False, True, False]


def test_colours_must_be_those_of_the_thing_itself():
    asked = ScenePrompt("colours", "an orange cat", (RequestedObject("cat", "orange"),))
    assert is_prompt_satisfied(asked, found(CAT))
    assert not is_prompt_satisfied(asked, found(("cat", "blue", 0.5, 0.5), ("dog", "orange", 0.2, 0.2)))


@pytest.mark.parametrize(
    ("relation", "there"),
    [("left of", True), ("right of", False), ("above", False), ("below", False)],
)
def test_positions_are_those_of_the_centres(relation, there):
    asked = ScenePrompt(
        "position", f"a cat {relation} a dog", (RequestedObject("cat"), RequestedObject("dog")), relation
    )
    assert is_prompt_satisfied(asked, found(CAT, DOG)) is there
    mirrored = ScenePrompt(
        "position", f"a dog {relation} a cat", (RequestedObject("dog"), RequestedObject("cat")), relation
    )
    assert is_prompt_satisfied(mirrored, found(CAT, DOG)) is (relation == "right of")


def test_things_side_by_side_are_not_above_one_another():
    asked = ScenePrompt("position", "a cat above a dog", (RequestedObject("cat"), RequestedObject("dog")), "above")
    assert not is_prompt_satisfied(asked, found(("cat", "", 0.25, 0.48), DOG))
    assert is_prompt_satisfied(asked, found(("cat", "", 0.25, 0.30), DOG))


def test_scores_are_shares_a_task_beside_what_the_judge_could_see():
    asked = [ScenePrompt("one", "a cat", (RequestedObject("cat"),))] * 3 + [
        ScenePrompt("counting", "two cats", (RequestedObject("cat", count=2),))
    ]
    one, counting = score_prompts(asked, [found(CAT), found(DOG), found(CAT), found(CAT, CAT)], {"one": 0.98})
    assert (one.metric, one.accuracy.mean, one.accuracy.count, one.bound) == ("one", pytest.approx(2 / 3), 3, 0.98)
    assert one.accuracy.low < 2 / 3 < one.accuracy.high
    assert (counting.metric, counting.accuracy.mean) == ("counting", 1)


def test_prompts_are_read_and_a_wrong_line_is_named(tmp_path):
    path = tmp_path / "prompts.jsonl"
    good = {"task": "colours", "prompt": "a red car", "objects": [{"noun": "car", "colour": "red", "count": 1}]}
    path.write_text(json.dumps(good) + "\n")
    assert load_prompts(path) == [ScenePrompt("colours", "a red car", (RequestedObject("car", "red"),))]
    path.write_text(json.dumps(good) + "\n" + json.dumps({**good, "task": "juggling"}))
    with pytest.raises(ValueError, match=r"line 2.*juggling"):
        load_prompts(path)
    path.write_text(json.dumps({**good, "relation": "inside"}))
    with pytest.raises(ValueError, match=r"line 1.*inside"):
        load_prompts(path)


def test_so_many_of_each_task_are_asked(tmp_path):
    path = tmp_path / "prompts.jsonl"
    rows = [{"task": task, "prompt": f"{n}", "objects": [{"noun": "car"}]} for task in TASKS for n in range(5)]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert [one.task for one in load_prompts(path, 2)] == [task for task in TASKS for _ in range(2)]
