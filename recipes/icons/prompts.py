"""Evaluation prompts for composition: held-out combinations with the objects that they request.

    python -m recipes.icons.prompts PACKAGES genloom/evaluate/image/prompted/prompts.jsonl

The tasks follow GenEval (Ghosh et al. 2023): one thing in a place, two things, a count, a colour, a position.
"""

import json
import sys
from collections.abc import Iterator
from itertools import combinations, islice, product
from pathlib import Path

import numpy as np

from recipes.icons.colours import NAMES
from recipes.icons.fetch import SETS, WORDS, fetch_package, read_icons
from recipes.icons.heldout import SHARES, is_held_out, list_combinations
from recipes.icons.places import PLACES
from recipes.icons.plans import COUNTS, POSITIONS, Plan, Thing
from recipes.icons.scenes import Painter
from recipes.icons.vocabulary import NOUNS

PROMPTS_PER_TASK = 100  # at most


def iter_candidates(task: str) -> Iterator[Plan]:
    """Yield every plan with a combination held out for `task`, and none held out for another task."""
    coloured = [noun for noun, entry in NOUNS.items() if entry.colours]
    match task:
        case "one":
            plans = (Plan((Thing(noun),), place=place) for noun, place in product(NOUNS, PLACES))
        case "two":
            plans = (Plan((Thing(a), Thing(b))) for a, b in combinations(NOUNS, 2))
        case "counting":
            places = ("", *(name for name, place in PLACES.items() if place.ground))
            counted = product(NOUNS, COUNTS, places)
            plans = (Plan((Thing(noun, count=count),), place=place) for noun, count, place in counted)
        case "colours":
            plans = (Plan((Thing(noun, colour),)) for noun, colour in product(coloured, NAMES))
        case "position":
            pairs = ((a, b) for a, b in product(NOUNS, NOUNS) if a != b)
            plans = (Plan((Thing(a), Thing(b)), relation) for (a, b), relation in product(pairs, POSITIONS))
        case _:
            raise ValueError(f"There is no task {task!r}.")
    for plan in plans:
        tasks = {combination[0] for combination in list_combinations(plan) if is_held_out(*combination)}
        if tasks == {task}:
            yield plan


def build_prompt(plan: Plan) -> str:
    """Return the simplest sentence of a plan."""
    words = [thing.describe() for thing in plan.things]
    joined = f" {plan.relation or 'and'} ".join(words)
    return f"{joined} {PLACES[plan.place].phrases[0]}".strip()


def iter_rows(painter: Painter, per_task: int = PROMPTS_PER_TASK, seed: int = 0) -> Iterator[dict]:
    """Yield the rows of the file: task, prompt, objects (noun, colour, count), relation and place.

    Plans with low contrast (a black hat at night) are skipped.
    """
    for number, task in enumerate(SHARES):
        rng = np.random.default_rng((seed, number))
        plans = list(iter_candidates(task))
        shuffled = (plans[k] for k in rng.permutation(len(plans)).tolist())
        for plan in islice((plan for plan in shuffled if painter.paint(plan, rng)), per_task):
            objects = [{"noun": t.noun, "colour": t.colour, "count": t.count} for t in plan.things]
            yield {
                "task": task,
                "prompt": build_prompt(plan),
                "objects": objects,
                "relation": plan.relation,
                "place": plan.place,
            }


def main() -> None:
    packages, path = Path(sys.argv[1]), Path(sys.argv[2])
    fluent = read_icons(
        "fluent-emoji-flat", fetch_package(SETS["fluent-emoji-flat"], packages), fetch_package(WORDS, packages)
    )
    painter = Painter({icon.name: icon.svg for icon in fluent})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in iter_rows(painter)), encoding="utf-8")


if __name__ == "__main__":
    main()
