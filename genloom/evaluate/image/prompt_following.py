"""Whether pictures show what was asked (one thing, two, a count, a colour, a position), by a detector's eye.

After GenEval (Ghosh et al. 2023), with nouns and pictures of Genloom's own, so that its figures compare with no others.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from genloom.evaluate.image.detector import Detection, Detector, load_detector
from genloom.evaluate.text.battery.score import Score

ASSETS_FOLDER = "prompted"  # the folder, in this package, with the prompts and the detector
TASKS = ("one", "two", "counting", "colours", "position")
_MIN_OFFSET = 0.05  # of the picture's side, by which one thing must stand off to be left of another, or above it

_RELATIONS: dict[str, Callable[[Detection, Detection], bool]] = {
    "left of": lambda a, other: one.x < other.x - _MIN_OFFSET,
    "right of": lambda one, other: one.x > other.x + _MIN_OFFSET,
    "above": lambda one, other: one.y < other.y - _MIN_OFFSET,
    "below": lambda one, other: one.y > other.y + _MIN_OFFSET,
}


@dataclass(frozen=True)
class RequestedObject:
    """A thing that a prompt asks for, so many times, in a colour or in any ("")."""

    noun: str
    colour: str = ""
    count: int = 1


@dataclass(frozen=True)
class ScenePrompt:
    """A prompt and what a picture of it shows; the first thing stands in `relation` to the second, or in any ("")."""

    task: str
    prompt: str
    objects: tuple[RequestedObject, ...]
    relation: str = ""


def is_prompt_satisfied(prompt: ScenePrompt, detections: Sequence[Detection]) -> bool:
    """Whether what was found in a picture, the surest first, is what was asked.

    A task that counts wants exactly so many; the others want at least so many, and mind nothing else.
    """
    for target in prompt.objects:
        matches = [first for first in detections if first.noun == target.noun]
        if len(matches) < target.count or (prompt.task == "counting" and len(matches) != target.count):
            return False
        if target.colour and sum(first.colour == target.colour for first in matches) < target.count:
            return False
    if not prompt.relation:
        return True
    first, second = (next(f for f in detections if f.noun == target.noun) for target in prompt.objects[:2])
    return _RELATIONS[prompt.relation](first, second)


def score_prompts(
    scene_prompts: Sequence[ScenePrompt], detections: Iterable[Sequence[Detection]], bound: Mapping[str, float]
) -> list[Score]:
    """A score a task, from what was found in a picture of each prompt.

    `bound` is the share of each task that real pictures reach under the same detector's eye.
    """
    outcomes = [
        (prompt.task, float(is_prompt_satisfied(prompt, prompt_detections)))
        for prompt, prompt_detections in zip(scene_prompts, detections, strict=True)
    ]
    return [
        Score(
            "prompts",
            task,
            tuple(is_satisfied for outcome_task, is_satisfied in outcomes if outcome_task == task),
            0.0,
            bound.get(task, 1.0),
        )
        for task in TASKS
        if any(outcome_task == task for outcome_task, _ in outcomes)
    ]


def load_prompts(path: Path | None = None, max_per_task: int = 0) -> list[ScenePrompt]:
    """The prompts in a file of JSON lines (those that come with Genloom), of each task up to `most`, 0 for all.

    Raises ValueError, naming the line, where one is none.
    """
    prompts_path = path or Path(str(resources.files("genloom.evaluate.image") / ASSETS_FOLDER / "prompts.jsonl"))
    scene_prompts: list[ScenePrompt] = []
    for number, line in enumerate(prompts_path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            prompt = _parse_prompt(json.loads(line))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{prompts_path}, line {number} is no prompt with what it asks for: {error!r}.") from None
        if not max_per_task or sum(other_prompt.task == prompt.task for other_prompt in scene_prompts) < max_per_task:
            scene_prompts.append(prompt)
    return scene_prompts


def load_default_detector() -> Detector:
    """The detector that comes with Genloom."""
    return load_detector(Path(str(resources.files("genloom.evaluate.image") / ASSETS_FOLDER / "detector.safetensors")))


def _parse_prompt(row: Mapping[str, Any]) -> ScenePrompt:
    objects = tuple(
        RequestedObject(str(t["noun"]), str(t.get("colour", "")), int(t.get("count", 1))) for t in row["objects"]
    )
    prompt = ScenePrompt(str(row["task"]), str(row["prompt"]), objects, str(row.get("relation", "")))
    if prompt.task not in TASKS:
        raise ValueError(f"there is no task {prompt.task!r}")
    if not objects or (prompt.relation and (prompt.relation not in _RELATIONS or len(objects) < 2)):
        raise ValueError(f"there is no relation {prompt.relation!r} of {len(objects)} things")
    return prompt
