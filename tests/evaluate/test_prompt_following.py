"""Prompt following: which detections satisfy a prompt, and scores per task."""

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
from tests.errors import raises_code


def make_detections(*things: tuple[str, str, float, float]) -> list[Detection]:
    return [Detection(noun, colour, x, y, 0.9) for noun, colour, x, y in things]


CAT, DOG = ("cat", "orange", 0.25, 0.5), ("dog", "brown", 0.75, 0.5)


def test_one_object_among_others_is_enough():
    prompt = ScenePrompt("one", "a cat", (RequestedObject("cat"),))
    assert is_prompt_satisfied(prompt, make_detections(CAT, DOG))
    assert not is_prompt_satisfied(prompt, make_detections(DOG))


def test_both_objects_must_be_there():
    prompt = ScenePrompt("two", "a cat and a dog", (RequestedObject("cat"), RequestedObject("dog")))
    assert is_prompt_satisfied(prompt, make_detections(DOG, CAT))
    assert not is_prompt_satisfied(prompt, make_detections(CAT))


def test_counting_needs_the_exact_count():
    prompt = ScenePrompt("counting", "two cats", (RequestedObject("cat", count=2),))
    assert [is_prompt_satisfied(prompt, make_detections(*[CAT] * n)) for n in (1, 2, 3)] == [False, True, False]


def test_colours_must_be_those_of_the_object_itself():
    prompt = ScenePrompt("colours", "an orange cat", (RequestedObject("cat", "orange"),))
    assert is_prompt_satisfied(prompt, make_detections(CAT))
    assert not is_prompt_satisfied(prompt, make_detections(("cat", "blue", 0.5, 0.5), ("dog", "orange", 0.2, 0.2)))


@pytest.mark.parametrize(
    ("relation", "there"),
    [("left of", True), ("right of", False), ("above", False), ("below", False)],
)
def test_positions_are_those_of_the_centres(relation, there):
    prompt = ScenePrompt(
        "position", f"a cat {relation} a dog", (RequestedObject("cat"), RequestedObject("dog")), relation
    )
    assert is_prompt_satisfied(prompt, make_detections(CAT, DOG)) is there
    mirrored = ScenePrompt(
        "position", f"a dog {relation} a cat", (RequestedObject("dog"), RequestedObject("cat")), relation
    )
    assert is_prompt_satisfied(mirrored, make_detections(CAT, DOG)) is (relation == "right of")


def test_objects_side_by_side_are_not_above_one_another():
    prompt = ScenePrompt("position", "a cat above a dog", (RequestedObject("cat"), RequestedObject("dog")), "above")
    assert not is_prompt_satisfied(prompt, make_detections(("cat", "", 0.25, 0.48), DOG))
    assert is_prompt_satisfied(prompt, make_detections(("cat", "", 0.25, 0.30), DOG))


def test_scores_are_accuracies_per_task_with_their_bounds():
    prompts = [ScenePrompt("one", "a cat", (RequestedObject("cat"),))] * 3
    prompts.append(ScenePrompt("counting", "two cats", (RequestedObject("cat", count=2),)))
    detections = [make_detections(*objects) for objects in ([CAT], [DOG], [CAT], [CAT, CAT])]
    one, counting = score_prompts(prompts, detections, {"one": 0.98})
    assert (one.metric, one.accuracy.mean, one.accuracy.count, one.bound) == ("one", pytest.approx(2 / 3), 3, 0.98)
    assert one.accuracy.low < 2 / 3 < one.accuracy.high
    assert (counting.metric, counting.accuracy.mean) == ("counting", 1)


def test_prompts_are_read_and_an_invalid_line_is_named(tmp_path):
    path = tmp_path / "prompts.jsonl"
    good = {"task": "colours", "prompt": "a red car", "objects": [{"noun": "car", "colour": "red", "count": 1}]}
    path.write_text(json.dumps(good) + "\n")
    assert load_prompts(path) == [ScenePrompt("colours", "a red car", (RequestedObject("car", "red"),))]
    path.write_text(json.dumps(good) + "\n" + json.dumps({**good, "task": "juggling"}))
    with raises_code("evaluate.bad_prompt_line", path=path, line=2):
        load_prompts(path)
    path.write_text(json.dumps({**good, "relation": "inside"}))
    with raises_code("evaluate.bad_prompt_line", path=path, line=1):
        load_prompts(path)


def test_prompts_are_limited_per_task(tmp_path):
    path = tmp_path / "prompts.jsonl"
    rows = [{"task": task, "prompt": f"{n}", "objects": [{"noun": "car"}]} for task in TASKS for n in range(5)]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert [prompt.task for prompt in load_prompts(path, 2)] == [task for task in TASKS for _ in range(2)]
