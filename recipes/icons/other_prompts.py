"""A second battery: held-out combinations with nouns beyond the vocabulary, 300 prompts.

    python -m recipes.icons.other_prompts PACKAGES bench/icons_other_prompts.jsonl

Rows are those of `recipes.icons.prompts`. Training shows the nouns, but none of these combinations.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from recipes.icons.fetch import SETS, WORDS, Icon, fetch_package, read_icons
from recipes.icons.heldout import is_held_out, list_combinations
from recipes.icons.make import MIXTURE
from recipes.icons.places import PLACES
from recipes.icons.plans import COUNTS, POSITIONS, Plan, Thing
from recipes.icons.prompts import build_prompt
from recipes.icons.things import OtherThing, list_other_things
from recipes.icons.vocabulary import NOUNS

COUNT_BY_TASK = {"one": 120, "two": 80, "counting": 40, "position": 60}


def list_drawn_things(icons: Sequence[Icon]) -> list[OtherThing]:
    """Return one thing for each noun that at least two sets draw: what is common enough to be asked for."""
    things = [thing for things in list_other_things(icons).values() for thing in things]
    sets: dict[str, set[str]] = {}
    for thing in things:
        sets.setdefault(thing.noun, set()).add(thing.icon.partition("/")[0])
    return list({thing.noun: thing for thing in reversed(things) if len(sets[thing.noun]) > 1}.values())[::-1]


def sample_plans(task: str, things: Sequence[OtherThing], rng: np.random.Generator) -> Iterator[Plan]:
    """Yield plans with a combination held out for this task, and none held out for another, forever."""
    places, known = [name for name in PLACES if name], list(NOUNS)
    while True:
        other = things[int(rng.integers(len(things)))]
        thing = Thing(other.noun, icon=other.icon, plural=other.plural)
        second = Thing(known[int(rng.integers(len(known)))])
        match task:
            case "one":
                plan = Plan((thing,), place=places[int(rng.integers(len(places)))])
            case "two":
                plan = Plan((thing, second) if rng.random() < 0.5 else (second, thing))
            case "counting":
                count = list(COUNTS)[int(rng.integers(len(COUNTS)))]
                plan = Plan((Thing(other.noun, count=count, icon=other.icon, plural=other.plural),))
            case "position":
                relation = list(POSITIONS)[int(rng.integers(len(POSITIONS)))]
                plan = Plan((thing, second) if rng.random() < 0.5 else (second, thing), relation)
            case _:
                raise ValueError(f"There is no task {task!r}.")
        if {combination[0] for combination in list_combinations(plan) if is_held_out(*combination)} == {task}:
            yield plan


def iter_rows(things: Sequence[OtherThing], counts: Mapping[str, int], seed: int = 0) -> Iterator[dict]:
    """Yield the rows of the file: task, prompt, objects (noun, colour, count), relation and place."""
    for number, (task, count) in enumerate(counts.items()):
        candidates = islice(sample_plans(task, things, np.random.default_rng((seed, number))), 4 * count)
        plans = {build_prompt(plan): plan for plan in candidates}
        for prompt, plan in islice(plans.items(), count):
            objects = [{"noun": t.noun, "colour": t.colour, "count": t.count} for t in plan.things]
            yield {"task": task, "prompt": prompt, "objects": objects, "relation": plan.relation, "place": plan.place}


def main() -> None:
    packages, path = Path(sys.argv[1]), Path(sys.argv[2])
    words = fetch_package(WORDS, packages)
    icons = [icon for name in MIXTURE for icon in read_icons(name, fetch_package(SETS[name], packages), words)]
    rows = list(iter_rows(list_drawn_things(icons), COUNT_BY_TASK))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print(f"{len(rows)} prompts in {path}")


if __name__ == "__main__":
    main()
