"""Prompt following of images: objects, counts, colours and positions, as a detector sees them.

After GenEval (Ghosh et al. 2023), but with Genloom's own nouns and detector, so that scores are not comparable with it.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from genloom.errors import GenloomError
from genloom.evaluate.image.detector import Detection, Detector, load_detector
from genloom.evaluate.scores import Score

ASSETS_FOLDER = "prompted"  # the folder, in this package, with the prompts and the detector
TASKS = ("one", "two", "counting", "colours", "position")
_MIN_OFFSET = 0.05  # of the image's side, between the centres of two things in a relation

_RELATIONS: dict[str, Callable[[Detection, Detection], bool]] = {
    "left of": lambda a, b: a.x < b.x - _MIN_OFFSET,
    "right of": lambda a, b: a.x > b.x + _MIN_OFFSET,
    "above": lambda a, b: a.y < b.y - _MIN_OFFSET,
    "below": lambda a, b: a.y > b.y + _MIN_OFFSET,
}


@dataclass(frozen=True)
class RequestedObject:
    """An object in a prompt; the colour "" means any."""

    noun: str
    colour: str = ""
    count: int = 1


@dataclass(frozen=True)
class ScenePrompt:
    """A prompt and the objects it names; `relation` is that of the first to the second, "" if there is none."""

    task: str
    prompt: str
    objects: tuple[RequestedObject, ...]
    relation: str = ""


def is_prompt_satisfied(prompt: ScenePrompt, detections: Sequence[Detection]) -> bool:
    """Whether an image shows what the prompt names, by its detections in order of score.

    The counting task needs the exact count; the other tasks need at least the count, and ignore further objects.
    """
    for target in prompt.objects:
        matches = [detection for detection in detections if detection.noun == target.noun]
        if len(matches) < target.count or (prompt.task == "counting" and len(matches) != target.count):
            return False
        if target.colour and sum(match.colour == target.colour for match in matches) < target.count:
            return False
    if not prompt.relation:
        return True
    first, second = (next(match for match in detections if match.noun == target.noun) for target in prompt.objects[:2])
    return _RELATIONS[prompt.relation](first, second)


def score_prompts(
    scene_prompts: Sequence[ScenePrompt], detections: Iterable[Sequence[Detection]], bound: Mapping[str, float]
) -> list[Score]:
    """Score each task, from the detections in one image per prompt.

    `bound` is the accuracy of each task on real images with the same detector.
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
    """Load prompts from a JSONL file (default: Genloom's own), at most `max_per_task` of each task (0: all).

    Raises ValueError with the number of a line that is not a prompt.
    """
    prompts_path = path or Path(str(resources.files("genloom.evaluate.image") / ASSETS_FOLDER / "prompts.jsonl"))
    scene_prompts: list[ScenePrompt] = []
    for number, line in enumerate(prompts_path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            prompt = _parse_prompt(json.loads(line))
        except (KeyError, TypeError, ValueError) as error:
            raise GenloomError("evaluate.bad_prompt_line", path=prompts_path, line=number, reason=error) from None
        if not max_per_task or sum(other_prompt.task == prompt.task for other_prompt in scene_prompts) < max_per_task:
            scene_prompts.append(prompt)
    return scene_prompts


def load_default_detector() -> Detector:
    """Load Genloom's own detector."""
    return load_detector(Path(str(resources.files("genloom.evaluate.image") / ASSETS_FOLDER / "detector.safetensors")))


def _parse_prompt(row: Mapping[str, Any]) -> ScenePrompt:
    objects = tuple(
        RequestedObject(str(t["noun"]), str(t.get("colour", "")), int(t.get("count", 1))) for t in row["objects"]
    )
    prompt = ScenePrompt(str(row["task"]), str(row["prompt"]), objects, str(row.get("relation", "")))
    if prompt.task not in TASKS:
        raise ValueError(f"unknown task {prompt.task!r}")
    if not objects or (prompt.relation and (prompt.relation not in _RELATIONS or len(objects) < 2)):
        raise ValueError(f"relation {prompt.relation!r} of {len(objects)} objects")
    return prompt
