"""The prompts that composition is measured on: combinations that no training scene shows, with what they ask for.

    python -m recipes.icons.prompts genloom/evaluate/prompted/prompts.jsonl

Tasks after GenEval (Ghosh et al. 2023): one thing in a place, two things, a count, a colour, a position.
"""

import json
import sys
from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path

import numpy as np

from recipes.icons.colours import NAMES
from recipes.icons.heldout import held_out, shown
from recipes.icons.places import PLACES
from recipes.icons.plans import COUNTS, POSITIONS, Plan, Thing
from recipes.icons.vocabulary import NOUNS

EACH = 100  # prompts a task, where so many combinations are held out


def candidates(task: str) -> Iterator[Plan]:
    """Every plan that shows a combination held out for `task`, and none held out for another."""
    coloured = [noun for noun, known in NOUNS.items() if known.colours]
    match task:
        case "one":
            places = [name for name, place in PLACES.items() if place.ground]
            plans = (Plan((Thing(noun),), place=place) for noun, place in product(NOUNS, places))
        case "two":
            plans = (Plan((Thing(a), Thing(b))) for a, b in combinations(NOUNS, 2))
        case "counting":
            plans = (Plan((Thing(noun, count=count),)) for noun, count in product(NOUNS, COUNTS))
        case "colours":
            plans = (Plan((Thing(noun, colour),)) for noun, colour in product(coloured, NAMES))
        case "position":
            pairs = ((a, b) for a, b in product(NOUNS, NOUNS) if a != b)
            plans = (Plan((Thing(a), Thing(b)), relation) for (a, b), relation in product(pairs, POSITIONS))
        case _:
            raise ValueError(f"there is no task {task!r}")
    for plan in plans:
        kept = {each[0] for each in shown(plan) if held_out(*each)}
        if kept == {task}:
            yield plan


def prompt(plan: Plan) -> str:
    """The plainest sentence of a plan."""
    words = [thing.said() for thing in plan.things]
    joined = f" {plan.relation or 'and'} ".join(words)
    return f"{joined} {PLACES[plan.place].phrases[0]}".strip()


def rows(each: int = EACH, seed: int = 0) -> Iterator[dict]:
    """What the file holds, a prompt a line: task, prompt, objects (noun, colour, count), relation and place."""
    for number, task in enumerate(("one", "two", "counting", "colours", "position")):
        plans = list(candidates(task))
        chosen = np.random.default_rng((seed, number)).permutation(len(plans))[:each]
        for plan in (plans[k] for k in sorted(chosen.tolist())):
            objects = [{"noun": t.noun, "colour": t.colour, "count": t.count} for t in plan.things]
            yield {
                "task": task,
                "prompt": prompt(plan),
                "objects": objects,
                "relation": plan.relation,
                "place": plan.place,
            }


def main() -> None:
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()), encoding="utf-8")


if __name__ == "__main__":
    main()
