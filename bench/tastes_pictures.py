"""Learning a hidden taste in pictures, tunes or designs: 200 ratings of a program, a round of learning, and who wins.

    python bench/tastes_pictures.py --workspace WORKSPACE --model icons --taste blue --minutes 5
    python bench/tastes_pictures.py --workspace WORKSPACE --model tunes --taste stepwise --minutes 5
    python bench/tastes_pictures.py --workspace WORKSPACE --model structures --taste slender --minutes 5

The program chooses between two outputs of the champion for one prompt; the model never sees its score. Champion
and challenger draw held-out and fresh prompts with the same chance, and the gate's judge is the taste.
"""

import argparse
import json
import random
import time
from itertools import combinations
from pathlib import Path

from tastes import link_workspace

import genloom as gl
from genloom.generate import engine, output_records, sampling_params
from genloom.learn.comparison import AnswerScorer
from genloom.learn.round import LearnRequest, LearnResult, learn
from genloom.model import load_model
from genloom.rate.checks import build_check
from genloom.rate.gate import compute_win_interval
from genloom.rate.outputs import load_output
from genloom.rate.prompts import extract_prompt
from genloom.rate.ratings import record_choice
from genloom.rate.report.html import render_page
from genloom.rate.report.receipt import to_text
from genloom.settings import apply_overrides
from genloom.store.ledger import Ledger, open_ledger
from genloom.store.workspace import Workspace
from genloom.train.events import Status, StepMetrics
from genloom.train.planning.auto_config import Budget

TASTES = {
    "blue": ("colour", {"hue": "blue", "min_share": 1.0}),
    "centred": ("centred", {"max_offset": 0.0}),
    "outline": ("outline", {"min_thickness": 0.15}),
    "major": ("mode", {"mode": "major"}),
    "sparse": ("melody", {"max_notes": 0.1}),
    "stepwise": ("melody", {"min_steps": 1.0}),
    "few_holes": ("form", {"max_holes": 0}),
    "organic": ("form", {"max_straightness": 0.03}),
    "slender": ("form", {"max_thickness": 0.02}),
}
PARTS = ("cantilever", "bridge", "mbb", "beam", "bracket", "column", "plate")
SIZES, SHARES = ((96, 96), (120, 60), (60, 120)), (20, 30, 40, 50)  # mm; of the domain
TUNES = ("an Irish tune", "a folk tune", "a fiddle tune", "a Scottish air", "a chorale", "a hymn", "a march", "a waltz")
FOR = ("", " for flute", " for fiddle", " for oboe", " for recorder", " for clarinet", " for accordion", " for harp")
RATED = 80  # prompts whose outputs are rated; the rest are fresh
PICTURES, DRAWINGS = 6, 4  # of each prompt at once, and how often at most
APART = 0.02  # by how much a score has to be higher to be noticed


def draw_outputs(workspace: Workspace, ref: str, controls: dict[str, float], seed: int) -> None:
    """Draw several more outputs for each rated prompt."""
    model = load_model(workspace, ref)
    if model.design.medium == "design":
        designer = gl.Workspace(workspace.root).model(ref)
        for goal in list_prompts("design"):
            designer.generate(n=PICTURES, seed=seed, goal=goal)
        return
    is_sequence, known = engine.is_open_sequence(model.codec.space), list_prompts(model.design.medium)[:RATED]
    controls = sampling_params.add_suggested_params(model, controls)
    for portion in engine.split_batches(engine.build_request(known, PICTURES, seed, (), controls, is_sequence)):
        output_records.store_outputs(workspace, model, portion, engine.run_request(model, portion))


def list_prompts(medium: str) -> list[str]:
    if medium == "design":
        goals = [
            f"a {part} of {w} x {h} mm, {share} % material" for part in PARTS for w, h in SIZES for share in SHARES
        ]
        random.Random(0).shuffle(goals)
        return goals[:RATED]
    if medium == "music":
        tunes = [f"{tune}{for_}, {bars} bars" for tune in TUNES for for_ in FOR for bars in (4, 8)]
        random.Random(0).shuffle(tunes)
        return tunes
    things = Path(__file__).with_name("things.txt").read_text(encoding="utf-8").split()
    random.Random(0).shuffle(things)
    return [f"{'an' if thing[0] in 'aeiou' else 'a'} {thing}" for thing in things]


def find_distinct_pairs(
    workspace: Workspace, taste: AnswerScorer, name: str, medium: str
) -> list[tuple[tuple[str, float], tuple[str, float]]]:
    """Pairs of pictures for one prompt whose scores differ enough to be noticed."""
    by_prompt: dict[str, list[tuple[str, float]]] = {}
    known = set(list_prompts(medium)[:RATED])
    for path, record in workspace.list_records():
        if record["model"].partition("/")[0] == name and (record["prompt"] in known or medium == "design"):
            score = taste.score(record["prompt"], load_output(path, record))
            by_prompt.setdefault(extract_prompt(record), []).append((path.stem, score))
    pairs = [pair for group in by_prompt.values() for pair in combinations(group, 2)]
    random.Random(0).shuffle(pairs)
    return [(a, b) for a, b in pairs if abs(a[1] - b[1]) > APART]


def rate_pairs(
    workspace: Workspace, ledger: Ledger, ref: str, taste: AnswerScorer, options: argparse.Namespace, medium: str
) -> int:
    """Draw until enough pairs differ, and choose from each; a share of the choices is flipped."""
    name, draw, pairs = ref.partition("/")[0], random.Random(1), []
    for seed in range(1, DRAWINGS + 1):
        draw_outputs(workspace, ref, {"steps": options.solver_steps} if medium == "image" else {}, seed)
        pairs = find_distinct_pairs(workspace, taste, name, medium)
        if len(pairs) >= options.ratings:
            break
    for a, b in pairs[: options.ratings]:
        is_flipped = draw.random() < options.flipped
        record_choice(workspace, ledger, a[0], b[0], "a" if (a[1] > b[1]) != is_flipped else "b", "somebody")
    return len(pairs[: options.ratings])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--model", default="icons")
    parser.add_argument("--taste", choices=list(TASTES), default="blue")
    parser.add_argument("--ratings", type=int, default=200)
    parser.add_argument("--flipped", type=float, default=0.0)
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--solver-steps", type=int, default=8)
    parser.add_argument("--method", default="auto")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--out", default="")
    options = parser.parse_args()
    workspace, first = link_workspace(options.workspace, options.model, f"{options.taste}-{options.flipped:g}")
    ledger, name = open_ledger(workspace.root), first.partition("/")[0]
    kind, settings = TASTES[options.taste]
    medium = load_model(workspace, first).design.medium
    check = build_check(kind, apply_overrides(settings, {}), medium)
    taste = AnswerScorer(f"the hidden taste {options.taste!r}", lambda prompt, picture: check(picture).score)
    begun = time.perf_counter()
    if not any(ledger.iter_events(["choice"])):
        print(rate_pairs(workspace, ledger, first, taste, options, medium), "ratings", flush=True)
    request = LearnRequest(
        name,
        options.method,
        scorer=taste,
        extra_prompts=tuple(list_prompts(medium)[RATED:]),
        budget=Budget(minutes=options.minutes, steps=options.steps),
        overrides=dict(text.split("=", 1) for text in options.set),
    )
    for event in learn(workspace, ledger, request):
        if isinstance(event, Status):
            print(f"{time.perf_counter() - begun:6.0f} s  {event.text}", flush=True)
        if isinstance(event, StepMetrics) and event.step % 10 == 0:
            metrics = ", ".join(f"{key} {value:.3f}" for key, value in event.metrics.items())
            print(f"{time.perf_counter() - begun:6.0f} s  step {event.step} of {event.steps}: {metrics}", flush=True)
    assert isinstance(event, LearnResult)
    print(f"{time.perf_counter() - begun:6.0f} s in all\n{to_text(event.receipt)}", flush=True)
    proof = next(m for m in event.receipt.decision.measures if m.is_proof)
    facts = {"prompts": proof.count, "win rate": proof.challenger, "interval": compute_win_interval(proof)}
    print(json.dumps({"taste": options.taste, **facts, "promoted": event.receipt.decision.should_promote}, indent=1))
    if options.out:
        Path(options.out).write_text(render_page(event.receipt), encoding="utf-8")


if __name__ == "__main__":
    main()
