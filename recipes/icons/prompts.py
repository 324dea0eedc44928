"""The prompts that composition is measured on: combinations that no training scene shows, with what they ask for.

    python -m recipes.icons.prompts PACKAGES genloom/evaluate/image/prompted/prompts.jsonl

Tasks after GenEval (Ghosh et al. 2023): one thing in a place, two things, a count, a colour, a position.
"""

import json
import sys
from collections.abc import Iterator
from itertools import combinations, islice, product
from pathlib import Path

import numpy as np

from recipes.icons.colours import NAMES
from recipes.icons.fetch import SETS, WORDS, fetch, icons
from recipes.icons.heldout import SHARES, held_out, shown
from recipes.icons.places import PLACES
from recipes.icons.plans import COUNTS, POSITIONS, Plan, Thing
from recipes.icons.scenes import Painter
from recipes.icons.vocabulary import NOUNS

EACH = 100  # prompts a task, where so many combinations are held out


def candidates(task: str) -> Iterator[Plan]:
    """Every plan that shows a combination held out for `task`, and none held out for another."""
    coloured = [noun for noun, known in NOUNS.items() if known.colours]
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


def rows(painter: Painter, each: int = EACH, seed: int = 0) -> Iterator[dict]:
    """What the file holds, a prompt a line: task, prompt, objects (noun, colour, count), relation and place.

    What could hardly be seen when drawn (a black hat at night) is not asked for.
    """
    for number, task in enumerate(SHARES):
        rng = np.random.default_rng((seed, number))
        plans = list(candidates(task))
        mixed = (plans[k] for k in rng.permutation(len(plans)).tolist())
        for plan in islice((plan for plan in mixed if painter.paint(plan, rng)), each):
            objects = [{"noun": t.noun, "colour": t.colour, "count": t.count} for t in plan.objects]
            yield {
                "task": task,
                "prompt": prompt(plan),
                "objects": objects,
                "relation": plan.relation,
                "place": plan.place,
            }


def main() -> None:
    packages, path = Path(sys.argv[1]), Path(sys.argv[2])
    found = icons("fluent-emoji-flat", fetch(SETS["fluent-emoji-flat"], packages), fetch(WORDS, packages))
    painter = Painter({icon.name: icon.svg for icon in found})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(painter)), encoding="utf-8")


if __name__ == "__main__":
    main()
