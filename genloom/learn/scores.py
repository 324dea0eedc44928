"""One round of learning from scores: a model samples, checks score the samples, and the model is reinforced.

No ratings are needed. The gate and the receipt are those of every round: both versions write answers with new noise,
and the challenger replaces the champion only if its answers score higher.
"""

import json
from collections.abc import Generator, Sequence
from dataclasses import replace
from math import inf

import numpy as np

from genloom.errors import GenloomError
from genloom.generate import engine
from genloom.learn import comparison
from genloom.learn.build_receipt import build_receipt
from genloom.learn.eval_prompts import EvalPrompt, build_prompt_ids
from genloom.learn.rl_env import REWARD_MODEL, build_rl_env
from genloom.learn.round import (
    LearnRequest,
    LearnResult,
    RoundContext,
    SectionTimer,
    find_deadline,
    forward_events,
    limit_training,
    measure_round,
    record_round,
)
from genloom.model import Model, load_for_scoring
from genloom.rate.preferences import Preferences
from genloom.rate.promotion import pin_active_version
from genloom.rate.prompts import assign_split
from genloom.store.ledger import Ledger
from genloom.store.run import Run
from genloom.store.workspace import Workspace
from genloom.train.events import Event, Status
from genloom.train.log import read_log
from genloom.train.planning.auto_config import Budget
from genloom.train.preference.config import parse_preference_config
from genloom.train.preference.score_memory import ScoreMemory, combine_scores
from genloom.train.preference.stage import MEMORY_FILE, RATINGS_DATA, ROLLOUTS_PER_STEP
from genloom.train.run import TrainRequest, train_model

METHOD = "reinvent"
EVAL_SEED = 3  # of answers to compare; no request of a person and no rollout has its noise
NO_PREFERENCES = Preferences((), (), (), {}, {})


def learn_from_scores(workspace: Workspace, ledger: Ledger, request: LearnRequest) -> Generator[Event | LearnResult]:
    """Yield events, last the receipt. Called again with the same request, an interrupted round is resumed.

    Raises GenloomError for a model without left-to-right sampling, and for rewards that are not checks.
    """
    timer, deadline = SectionTimer(), inf if request.calls else find_deadline(request.budget)
    if REWARD_MODEL in request.rewards:
        raise GenloomError("learn.reward_not_a_check", method=request.method)
    champion = load_for_scoring(workspace, pin_active_version(workspace, ledger, request.model).ref)
    scorer = request.scorer or build_scorer(request, champion.design.medium)
    train_prompts, eval_prompts = build_scored_prompts(workspace, champion, request)
    context = RoundContext(
        *(workspace, ledger, request, champion, NO_PREFERENCES, NO_PREFERENCES, NO_PREFERENCES, None, eval_prompts),
        *(scorer, timer, deadline),
    )
    train_request = TrainRequest(
        RATINGS_DATA,
        champion.name,
        champion.ref,
        METHOD,
        choose_budget(request, deadline),
        {**request.overrides, "learning.rewards": json.dumps(request.rewards)},
        devices=request.devices,
        save_seconds=request.save_seconds,
        preferences=build_rl_env(champion, train_prompts, request.rewards, None),
        judged_runs=frozenset(entry.body["run"] for entry in ledger.iter_entries(["round"])),
    )
    yield Status("Sampling, scoring and reinforcing")
    with timer.section("learning"):
        training = yield from forward_events(train_model(workspace, train_request))
    challenger = load_for_scoring(workspace, training.ref)
    receipt_inputs = yield from measure_round(context, training, challenger)
    run = workspace.get_run(training.run)
    receipt = build_receipt(receipt_inputs, read_log(run.folder / "progress.jsonl"), None)
    receipt = replace(receipt, method={**receipt.method, **describe_memory(run)})
    yield record_round(workspace, ledger, (), receipt, training, challenger)


def choose_budget(request: LearnRequest, deadline: float) -> Budget:
    """Return the budget of the training: the steps that the calls allow, or the time."""
    if not request.calls:
        return limit_training(request.budget, deadline)
    config = parse_preference_config(METHOD, request.overrides)
    batch_size = int(request.overrides.get("batch_size", ROLLOUTS_PER_STEP[METHOD]))
    steps = request.calls // max(batch_size - config.num_replayed, 1)
    if steps < 1:
        raise GenloomError("learn.too_few_calls", calls=request.calls, minimum=batch_size - config.num_replayed)
    return replace(request.budget, steps=steps, minutes=0.0)


def build_scorer(request: LearnRequest, medium: str) -> comparison.AnswerScorer:
    """Return the check of held-out answers, or all rewards together."""
    if request.check:
        return comparison.build_check_scorer(request.check, medium)
    scorers = [comparison.build_check_scorer(spec, medium) for spec in request.rewards]
    return comparison.AnswerScorer(
        " and ".join(scorer.name for scorer in scorers),
        lambda prompt, answer: float(
            combine_scores(np.array([[scorer.score(prompt, answer)] for scorer in scorers]))[0]
        ),
    )


def build_scored_prompts(
    workspace: Workspace, champion: Model, request: LearnRequest
) -> tuple[Sequence[EvalPrompt], Sequence[EvalPrompt]]:
    """Return the prompts to train on and those to compare answers to; without any, draws without a prompt.

    Raises GenloomError for fewer than two prompts to compare answers to.
    """
    prompts = list(dict.fromkeys(request.extra_prompts))
    held_out = [prompt for prompt in prompts if assign_split(prompt) == "val"]
    trained = [prompt for prompt in prompts if prompt not in held_out]
    count = request.max_eval_prompts
    if count < 2 or (prompts and (len(held_out) < 2 or not trained)):
        raise GenloomError("learn.too_few_scored_prompts", count=len(held_out), total=len(prompts), minimum=2)
    if not prompts:
        return build_draws(champion, [""], 1), build_draws(champion, [""], count)
    return build_draws(champion, trained, 1), build_draws(champion, held_out[:count], 1)


def build_draws(model: Model, prompts: Sequence[str], count: int) -> list[EvalPrompt]:
    """Return prompts as the model reads them, each `count` times with noise of its own."""
    is_sequence = engine.is_open_sequence(model.codec.space)
    if not is_sequence:
        raise GenloomError("learn.not_autoregressive")
    request = engine.build_request(prompts, count, EVAL_SEED, (), {}, is_sequence)
    rows = [engine.slice_request(request, slice(row, row + 1)) for row in range(len(request.prompts))]
    return [EvalPrompt(row.prompts[0], build_prompt_ids(model, row), (), row) for row in rows]


def describe_memory(run: Run) -> dict[str, int | float]:
    """Return how many outputs a run scored, and the mean score of its ten best."""
    samples = ScoreMemory.open(run.folder / MEMORY_FILE).samples.values()
    best = sorted((sample.score for sample in samples), reverse=True)[:10]
    return {"scored outputs": len(samples), "mean score of the ten best": round(sum(best) / max(len(best), 1), 4)}
