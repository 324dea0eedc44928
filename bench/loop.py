"""The learning loop on hidden tastes: 200 ratings, a quarter of an hour, and who wins on prompts never seen.

    python bench/loop.py taste --workspace WORKSPACE --taste short --minutes 10
    python bench/loop.py scratch --workspace WORKSPACE --model shakespeare --minutes 1
    python bench/loop.py coin --workspace WORKSPACE --model tales --rounds 40

A program with a hidden taste acts as the rater: it chooses between two outputs of the champion for one
prompt. `genloom learn` does the rest. Then champion and challenger answer fresh prompts, and the taste judges both.
"""

import argparse
import json
import operator
import os
import random
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
from tastes import TASTES, Taste, link_workspace

from genloom.generate import engine, output_records
from genloom.generate.text import conversation
from genloom.learn.comparison import AnswerScorer
from genloom.learn.round import LearnRequest, LearnResult, learn
from genloom.learn.safeguards.text import is_non_degenerate
from genloom.metrics.statistics import clopper_pearson
from genloom.model import Model, load_model
from genloom.rate.auto_rater import parse_check
from genloom.rate.gate import compute_win_interval
from genloom.rate.ratings import record_choice
from genloom.rate.report.html import render_page
from genloom.rate.report.receipt import to_text
from genloom.store.ledger import Ledger, open_ledger
from genloom.store.workspace import Workspace
from genloom.train.events import Status, StepMetrics
from genloom.train.planning.auto_config import Budget
from genloom.types import Message

RATED = {"fact": 100, "open": 80, "list": 80}  # prompts, of those in prompts.tsv; the rest are fresh
LENGTH = {"fact": 48, "open": 80, "list": 80}
ANSWERS = 4  # to each of these
TEMPERATURE = 0.7


def read_prompts(kind: str) -> list[tuple[str, str]]:
    """The questions of a kind, each with its fact, if it has one."""
    lines = Path(__file__).with_name("prompts.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return [(row[1], (*row, "")[2]) for row in rows if row[0] == kind]


def build_chat_request(model: Model, questions: Sequence[str], count: int, kind: str, seed: int) -> engine.Request:
    talks = [[Message("user", question)] for question in questions for _ in range(count)]
    given, _ = conversation.build_chat_batch(
        model, talks, None, {"max_tokens": LENGTH[kind], "temperature": TEMPERATURE}
    )
    return replace(given, nonces=engine.build_request(questions, count, seed, (), {}).nonces)


def generate_answers(workspace: Workspace, taste: Taste, ref: str) -> None:
    """Generate several answers to each rated prompt that has none yet."""
    model, known = (
        load_model(workspace, ref, precision="auto"),
        {record["prompt"] for _, record in workspace.list_records()},
    )
    questions = [question for question, _ in read_prompts(taste.kind)[: RATED[taste.kind]] if question not in known]
    if questions:
        for portion in engine.split_batches(build_chat_request(model, questions, ANSWERS, taste.kind, 1)):
            output_records.store_outputs(workspace, model, portion, engine.run_request(model, portion))


def rate_pairs(workspace: Workspace, ledger: Ledger, taste: Taste, model: str, count: int, flipped: float) -> int:
    """Choose `count` times between two outputs for the same prompt; a share of the choices is flipped."""
    facts, draw = dict(read_prompts(taste.kind)), random.Random(0)
    by_prompt: dict[str, list[tuple[str, float]]] = {}
    for path, record in workspace.list_records():
        if record["prompt"] in facts and record["model"] == model:
            score = taste.score(record["written"], facts[record["prompt"]])
            by_prompt.setdefault(record["prompt"], []).append((path.stem, score))
    pairs = [pair for group in by_prompt.values() for pair in combinations(group, 2)]
    draw.shuffle(pairs)
    distinct = [(a, b) for a, b in pairs if abs(a[1] - b[1]) > taste.min_gap * max(a[1], b[1])][:count]
    for a, b in distinct:
        is_flipped = draw.random() < flipped
        record_choice(workspace, ledger, a[0], b[0], "a" if (a[1] > b[1]) != is_flipped else "b", "somebody")
    return len(distinct)


def run_taste(options: argparse.Namespace) -> None:
    taste = TASTES[options.taste]
    workspace, first = link_workspace(options.workspace, options.model, f"{taste.name}-{options.flipped:g}")
    ledger = open_ledger(workspace.root)
    begun = time.perf_counter()
    if not any(ledger.iter_events(["choice"])):
        generate_answers(workspace, taste, first)
        print(rate_pairs(workspace, ledger, taste, first, options.ratings, options.flipped), "ratings", flush=True)
    settings = dict(text.split("=", 1) for text in options.set)
    facts = dict(read_prompts(taste.kind))
    judge = AnswerScorer(f"the hidden taste {taste.name!r}", lambda prompt, text: taste.score(text, facts[prompt]))
    request = LearnRequest(
        first.partition("/")[0],
        options.method,
        scorer=judge,
        extra_prompts=tuple(facts)[RATED[taste.kind] :],
        budget=Budget(minutes=options.minutes, steps=options.steps),
        overrides=settings,
    )
    for event in learn(workspace, ledger, request):
        if isinstance(event, Status):
            print(f"{time.perf_counter() - begun:6.0f} s  {event.text}", flush=True)
        if isinstance(event, StepMetrics) and (event.step % 10 == 0 or event.step == 1):
            metrics = ", ".join(f"{k} {v:.3f}" for k, v in event.metrics.items())
            print(f"{time.perf_counter() - begun:6.0f} s  step {event.step} of {event.steps}: {metrics}", flush=True)
    assert isinstance(event, LearnResult)
    print(f"{time.perf_counter() - begun:6.0f} s in all\n{to_text(event.receipt)}", flush=True)
    proof = next(m for m in event.receipt.decision.measures if m.is_proof)
    facts_of = {"prompts": proof.count, "win rate": proof.challenger, "interval": compute_win_interval(proof)}
    facts_of["promoted"] = event.receipt.decision.should_promote
    if taste.kind == "fact":
        facts_of["where the champion knows the fact"] = measure_known_facts(workspace, taste, event)
    print(json.dumps({"taste": taste.name, "flipped": options.flipped, **facts_of}, indent=1))
    if options.out:
        Path(options.out).write_text(render_page(event.receipt), encoding="utf-8")


def measure_known_facts(workspace: Workspace, taste: Taste, learned: LearnResult) -> dict[str, object]:
    """Score only the questions whose fact is in at least one of four other answers of the champion.

    Where it never states the fact, both versions fail, which counts as a tie.
    """
    facts, scores = dict(read_prompts(taste.kind)), dict[str, dict[str, float]]()
    for _, record in workspace.list_records():
        if record.get("learn") == learned.run:
            score = taste.score(record["written"], facts[record["prompt"]])
            scores.setdefault(record["prompt"], {})[record["model"]] = score
    champion, challenger = learned.receipt.champion, learned.receipt.challenger
    model = load_model(workspace, champion, precision="auto")
    request = build_chat_request(model, list(scores), ANSWERS, taste.kind, 3)
    others = [
        text for portion in engine.split_batches(request) for text in engine.run_request(model, portion).continuations
    ]
    questions = [question for question in scores for _ in range(ANSWERS)]
    known = {q for q, text in zip(questions, others, strict=True) if taste.score(text, facts[q]) > 0}
    gaps = [scores[question][challenger] - scores[question][champion] for question in known]
    won, ties = sum(gap > 0 for gap in gaps), sum(gap == 0 for gap in gaps)
    rate = won + ties / 2
    return {"prompts": len(gaps), "win rate": rate / len(gaps), "interval": clopper_pearson(rate, len(gaps)),
            "won, lost, tied": [won, len(gaps) - won - ties, ties]}  # fmt: skip


STAYS = "regex:pattern=[A-Z]{3};is_absent=true"  # the taste: no other speaker interrupts
# Where a champion meets a taste half of the time, a perfect challenger ties with it as often and wins 75 % at most. In
# 120 tokens it meets this one in three or four of ten, in 60 in half of them (docs/log.md).
DRAWINGS = 4  # of ANSWERS to each prompt, at most, until enough pairs differ


def find_distinct_pairs(workspace: Workspace, check: str) -> list[tuple[str, str]]:
    """List the better and the worse of two outputs for one prompt by a machine check; ties are left out."""
    by_prompt: dict[str, list[tuple[float, str]]] = {}
    for path, record in workspace.list_records():
        score = parse_check(check)[1](record["written"]).score
        by_prompt.setdefault(record["prompt"], []).append((score, path.stem))
    pairs = [sorted(pair, reverse=True) for group in by_prompt.values() for pair in combinations(group, 2)]
    return [(one[1], two[1]) for one, two in pairs if one[0] > two[0]]


def run_scratch(options: argparse.Namespace) -> None:
    """A model of Shakespeare trained here learns a taste; then both versions go on from speeches never seen."""
    workspace, name = Workspace(Path(options.workspace)), options.model.partition("/")[0]
    known, fresh = (
        Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines()
        for name in ("speakers.txt", "unheard.txt")
    )
    controls, stops = {"max_tokens": options.max_tokens, "temperature": 0.8}, (options.stop,) if options.stop else ()
    champion, pairs, drawing = load_model(workspace, name), list[tuple[str, str]](), 0
    while len(pairs) < options.ratings and drawing < DRAWINGS:
        for portion in engine.split_batches(engine.build_request(known, ANSWERS, drawing, stops, controls)):
            output_records.store_outputs(workspace, champion, portion, engine.run_request(champion, portion))
        pairs, drawing = find_distinct_pairs(workspace, options.check), drawing + 1
    ledger = open_ledger(workspace.root, f"sqlite:///{options.ledger}" if options.ledger else "")
    random.Random(0).shuffle(pairs)
    for better, worse in pairs[: options.ratings]:
        record_choice(workspace, ledger, better, worse, "a", parse_check(options.check)[0], is_machine=True)
    print(min(len(pairs), options.ratings), "ratings")
    budget = Budget(minutes=options.minutes, steps=options.steps)
    settings = dict(each.split("=", 1) for each in options.set)
    *_, event = learn(workspace, ledger, LearnRequest(name, budget=budget, overrides=settings))
    assert isinstance(event, LearnResult)
    print(to_text(event.receipt))
    texts = []
    for ref in (event.receipt.champion, event.receipt.challenger):
        model = load_model(workspace, ref)
        portions = engine.split_batches(engine.build_request(fresh, 1, 7, stops, controls))
        texts.append([text for portion in portions for text in engine.run_request(model, portion).continuations])
    judge = parse_check(options.check)[1]
    one, two = ([judge(text).score for text in continuations] for continuations in texts)
    wins, ties = (sum(how(b, a) for a, b in zip(one, two, strict=True)) for how in (operator.gt, operator.eq))
    won = wins + ties / 2
    interval = clopper_pearson(won, len(fresh))
    print(json.dumps({"prompts": len(fresh), "win rate": won / len(fresh), "interval": interval,
                      "won, lost, tied": [wins, len(fresh) - wins - ties, ties],
                      "score": [float(np.mean(one)), float(np.mean(two))],
                      "valid": [float(np.mean([is_non_degenerate(t) for t in row])) for row in texts]},
                     indent=1))  # fmt: skip


def run_coin(options: argparse.Namespace) -> None:
    """Run rounds of learning from random ratings, each from the same champion, and count the promotions."""
    promoted, home = 0, Path(options.workspace)
    for seed in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            for kind in ("models", "data", "outputs"):
                if (home / kind).is_dir():
                    shutil.copytree(home / kind, Path(folder) / kind, copy_function=os.link)
            workspace = Workspace(Path(folder))
            ledger, coin = open_ledger(workspace.root), random.Random(seed)
            by_prompt: dict[str, list[str]] = {}
            for path, record in workspace.list_records():
                by_prompt.setdefault(record["prompt"], []).append(path.stem)
            for a, b, *_ in by_prompt.values():
                record_choice(workspace, ledger, a, b, "a" if coin.random() < 0.5 else "b", "coin")
            request = LearnRequest(
                options.model, "dpo", budget=Budget(steps=options.steps or 10, seed=seed), max_eval_prompts=12
            )
            *_, event = learn(workspace, ledger, request)
            assert isinstance(event, LearnResult)
            promoted += event.receipt.decision.should_promote
            print(f"{promoted} of {seed + 1}: {event.receipt.decision.reasons[0]}", flush=True)
    print(json.dumps({"promoted": promoted, "rounds": options.rounds}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["taste", "scratch", "coin"])
    parser.add_argument("--workspace")
    parser.add_argument("--model", default="smollm2/1")
    parser.add_argument("--ledger", default="")
    parser.add_argument("--check", default=STAYS, help="the taste of scratch, a machine check")
    parser.add_argument("--stop", default="", help="where an output of scratch ends before its length")
    parser.add_argument("--max-tokens", type=int, default=120, help="maximum number of tokens of an output of scratch")
    parser.add_argument("--taste", choices=list(TASTES), default="short")
    parser.add_argument("--ratings", type=int, default=200)
    parser.add_argument("--flipped", type=float, default=0.0)
    parser.add_argument("--method", default="auto")
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--out", default="")
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    {"taste": run_taste, "scratch": run_scratch, "coin": run_coin}[options.what](options)


if __name__ == "__main__":
    main()
