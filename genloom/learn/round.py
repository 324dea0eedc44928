"""One round of learning.

1. Build preferences from the ratings, and fit a reward model (`fit_reward_model`).
2. Train a challenger on them (`train_model`).
3. Measure champion and challenger on held-out data (`measure_round`).
4. Decide, write the receipt, and promote the challenger if it is better (`record_round`).
"""

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import inf

from genloom import plugins
from genloom.errors import GenloomError, format_message
from genloom.learn import comparison
from genloom.learn.best_of_n import BestOfN, measure_best_of_n
from genloom.learn.build_receipt import ReceiptInputs, build_best_of_n_receipt, build_receipt
from genloom.learn.comparison import AnswerPairs
from genloom.learn.eval_prompts import (
    EvalPrompt,
    build_eval_prompts,
    build_new_prompts,
    build_preference_dataset,
    generate_answers,
    list_nonces,
)
from genloom.learn.reward_model import RewardModel
from genloom.learn.rl_env import REWARD_MODEL
from genloom.learn.training_data import (
    build_training_data,
    choose_method,
    fit_reward_model,
    list_used_events,
)
from genloom.model import Model, load_for_scoring, load_model
from genloom.rate.gate import Measure, compute_alpha_left
from genloom.rate.preferences import Preferences, build_preferences, require_enough_preferences
from genloom.rate.promotion import pin_active_version, promote_version
from genloom.rate.prompts import normalize_prompt
from genloom.rate.report import receipt as receipts
from genloom.rate.report.html import render_page
from genloom.running_time import read_running_seconds
from genloom.store.files import write_atomic
from genloom.store.ledger import Ledger
from genloom.store.manifest import write_record
from genloom.store.workspace import Workspace
from genloom.text_format import format_duration
from genloom.train.events import Event, RunResult, RunWarning, Status
from genloom.train.job import Job, read_job
from genloom.train.log import read_log
from genloom.train.planning.auto_config import Budget
from genloom.train.preference.config import PreferenceConfig, get_preference_config, parse_preference_config
from genloom.train.preference.stage import RATINGS_DATA
from genloom.train.run import TrainRequest, train_model

DEFAULT_MINUTES = 5.0  # of a round
MEASURE_FRACTION, MIN_TRAINING_FRACTION = 0.4, 0.1  # of the minutes: left for measuring; of training at least
MIN_TIMED_PROMPTS = 8  # held-out prompts that both versions answer however little time is left
MAX_EVAL_PROMPTS = 48  # held-out prompts that both versions answer
DEFAULT_BEST_OF = 4  # answers to choose among in a round without training
METHOD_NONE = "none"  # a round without training, which only measures best-of-n


@dataclass(frozen=True)
class LearnRequest:
    """The options of a round."""

    model: str
    method: str = "auto"  # dpo, kto, weighted, grpo, none; auto: by the kind of ratings; reinvent: see learn/scores.py
    check: str = ""  # a check of held-out answers besides the ratings, like "length:max_length=1"
    scorer: comparison.AnswerScorer | None = None  # in place of the check
    extra_prompts: tuple[str, ...] = ()  # answered besides the held-out ones; rated ones are left out
    rewards: tuple[str, ...] = (REWARD_MODEL,)  # of grpo: rewards of the rollouts
    calls: int = 0  # of reinvent: outputs that are scored at most; 0: by the budget
    best_of: int = 0  # also measure best-of-n of the champion; 0: not
    budget: Budget = field(default_factory=Budget)
    overrides: Mapping[str, str] = field(default_factory=dict)
    max_eval_prompts: int = MAX_EVAL_PROMPTS
    is_trial: bool = False  # from fewer ratings than a proof needs
    precision: str = "auto"  # of both versions when they answer
    save_seconds: float = 30.0
    devices: int = 0  # that train together; 0: one


@dataclass(frozen=True)
class LearnResult:
    """The end of a round."""

    receipt: receipts.Receipt
    digest: str
    run: str  # its folder has the receipt as JSON and HTML


@dataclass
class SectionTimer:
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def section(self, name: str) -> Generator[None]:
        start = read_running_seconds()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + read_running_seconds() - start


@dataclass(frozen=True)
class RoundContext:
    """The inputs of a round's steps."""

    workspace: Workspace
    ledger: Ledger
    request: LearnRequest
    champion: Model
    preferences: Preferences
    train_preferences: Preferences  # the training split
    held_preferences: Preferences  # the held-out split
    reward_model: RewardModel | None
    eval_prompts: Sequence[EvalPrompt]  # held-out and extra prompts, which both versions answer
    scorer: comparison.AnswerScorer | None
    timer: SectionTimer
    deadline: float = inf  # of the whole round, by read_running_seconds


def learn(workspace: Workspace, ledger: Ledger, request: LearnRequest) -> Generator[Event | LearnResult]:
    """Yield events, last the receipt. Called again with the same request, an interrupted round is resumed.

    Raises GenloomError for too few ratings, with how many are missing.
    """
    if request.method not in ("auto", METHOD_NONE):
        parse_preference_config(request.method, request.overrides)  # a wrong setting is told before missing ratings
    checks = [spec for spec in (request.check, *request.rewards) if spec not in ("", REWARD_MODEL)]
    comparison.require_checks(workspace, request.model, checks)
    timer = SectionTimer()
    round_seconds, deadline = get_round_seconds(request.budget), find_deadline(request.budget)
    is_timed = round_seconds < inf
    preferences = build_preferences(workspace, ledger, request.model)
    require_enough_preferences(preferences, request.is_trial)
    champion = load_for_scoring(workspace, pin_active_version(workspace, ledger, request.model).ref)
    method = request.method if request.method != "auto" else choose_method(preferences, champion)
    config = (
        PreferenceConfig(should_filter_noisy_labels=False)
        if method == METHOD_NONE
        else parse_preference_config(method, request.overrides)
    )
    scorer = request.scorer or (
        comparison.build_check_scorer(request.check, champion.design.medium) if request.check else None
    )
    yield Status("Fitting a reward model to the ratings")
    with timer.section("reward model"):
        preferences, train_preferences, held_preferences, reward_model = fit_reward_model(
            workspace, champion, preferences, config
        )
    if request.best_of and reward_model is None and method != METHOD_NONE:
        yield RunWarning(format_message("learn.best_of_n_not_measured", model=champion.ref))
    eval_prompts = select_eval_prompts(workspace, champion, preferences, held_preferences, request)
    context = RoundContext(
        workspace,
        ledger,
        request,
        champion,
        preferences,
        train_preferences,
        held_preferences,
        reward_model,
        eval_prompts,
        scorer,
        timer,
        deadline,
    )
    if method == METHOD_NONE:
        yield from run_best_of_n(context)
        return
    train_request = build_train_request(context, method)
    if is_timed:
        training_time, round_time = format_duration(60 * train_request.budget.minutes), format_duration(round_seconds)
        yield Status(f"Training for at most {training_time} of {round_time}; the rest is for preparing and measuring")
    with timer.section("learning"):
        training = yield from forward_events(train_model(workspace, train_request))
    challenger = load_for_scoring(workspace, training.ref)
    receipt_inputs = yield from measure_round(context, training, challenger)
    training_log = read_log(workspace.get_run(training.run).folder / "progress.jsonl")
    calibration = context.reward_model.calibration if context.reward_model else None
    receipt, used = build_receipt(receipt_inputs, training_log, calibration), list_used_events(preferences, method)
    yield record_round(workspace, ledger, used, receipt, training, challenger)


def get_round_seconds(budget: Budget) -> float:
    """Return the time of a round; infinite if its steps are given."""
    return inf if budget.steps or budget.tokens else (budget.minutes or DEFAULT_MINUTES) * 60


def find_deadline(budget: Budget) -> float:
    """Return the end of a round, by read_running_seconds."""
    return (budget.started_at or read_running_seconds()) + get_round_seconds(budget)


def build_train_request(context: RoundContext, method: str) -> TrainRequest:
    request, champion = context.request, context.champion
    overrides = dict(request.overrides)
    if method == "grpo":
        overrides["learning.rewards"] = json.dumps(request.rewards)
    training_data = build_training_data(
        context.workspace, champion, context.train_preferences, method, request.rewards, context.reward_model
    )
    return TrainRequest(
        RATINGS_DATA,
        champion.name,
        champion.ref,
        method,
        limit_training(request.budget, context.deadline),
        overrides,
        devices=request.devices,
        save_seconds=request.save_seconds,
        preferences=training_data,
        judged_runs=frozenset(entry.body["run"] for entry in context.ledger.iter_entries(["round"])),
    )


def limit_training(budget: Budget, deadline: float) -> Budget:
    """Return the budget of the training, which leaves time to measure both versions before the deadline."""
    if deadline == inf:
        return budget
    minutes = budget.minutes or DEFAULT_MINUTES
    now = read_running_seconds()
    minutes_left = (deadline - now) / 60 - MEASURE_FRACTION * minutes
    return replace(budget, minutes=max(minutes_left, MIN_TRAINING_FRACTION * minutes), started_at=now)


def count_prompts_in_time(num_prompts: int, seconds_per_prompt: float, seconds_left: float) -> int:
    """Return how many held-out prompts both versions answer, with half of the time left for the safeguards."""
    return min(num_prompts, max(int(seconds_left / 2 / (2 * seconds_per_prompt)), MIN_TIMED_PROMPTS))


def generate_in_time(context: RoundContext, writers: Sequence[Model], run: str) -> Generator[Event, None, AnswerPairs]:
    """Let champion and challenger answer the held-out prompts, or as many of them as the time allows."""
    workspace, prompts, metadata = context.workspace, context.eval_prompts, {"learn": run}
    num_timed = MIN_TIMED_PROMPTS if context.deadline < inf else len(prompts)
    started_at = read_running_seconds()
    champion_answers = generate_answers(workspace, writers[0], prompts[:num_timed], metadata)
    if num_timed < len(prompts):
        now = read_running_seconds()
        count = count_prompts_in_time(len(prompts), (now - started_at) / num_timed, context.deadline - now)
        champion_answers += generate_answers(workspace, writers[0], prompts[num_timed:count], metadata)
        if count < len(prompts):
            yield RunWarning(format_message("learn.fewer_prompts", count=count, total=len(prompts)))
            prompts = prompts[:count]
    return AnswerPairs(prompts, champion_answers, generate_answers(workspace, writers[1], prompts, metadata))


def measure_round(
    context: RoundContext, training: RunResult, challenger: Model
) -> Generator[Event, None, ReceiptInputs]:
    """Measure both versions on held-out data; later challengers of the same champion need more evidence."""
    workspace, request, champion, held = context.workspace, context.request, context.champion, context.held_preferences
    scorer, reward_model, timer = context.scorer, context.reward_model, context.timer
    job = read_job(workspace.get_run(training.run).folder / "job.toml")
    num_earlier = sum(entry.body["champion"] == champion.ref for entry in context.ledger.iter_entries(["round"]))
    alpha = compute_alpha_left(num_earlier)
    results: list[Measure] = []
    if held.pairs or held.unpaired:
        yield Status("Measuring both on held-out ratings")
        with timer.section("held-out ratings"):
            agreement = measure_held_ratings(context, challenger, job, alpha)
            # A scorer of their own answers is stronger evidence than the likelihood of rated ones.
            results.append(replace(agreement, is_proof=scorer is None))
    yield Status("Both answer held-out prompts")
    with timer.section("answers"):
        writers = [load_model(workspace, model.ref, precision=request.precision) for model in (champion, challenger)]
        answers = yield from generate_in_time(context, writers, training.run)
    yield Status("Measuring the safeguards")
    with timer.section("checks"):
        if scorer:
            results.insert(0, comparison.measure_answers(scorer, answers, alpha))
        if reward_model:
            results.append(comparison.measure_rewards(reward_model, answers))
        safeguards = plugins.find_medium_part("safeguards", champion.design.medium)
        results += safeguards.measure_safeguards(workspace, champion, challenger, writers, answers)
    best_of_n_measures: tuple[Measure, ...] = ()
    if reward_model and request.best_of:
        yield Status("The reward model chooses among several answers of the champion")
        with timer.section("best of n"):
            best_of_n, count = BestOfN(reward_model, scorer), request.best_of
            best_of_n_measures = measure_best_of_n(
                workspace, writers[0], best_of_n, answers.eval_prompts, answers.champion, count, training.run
            )
    return ReceiptInputs(
        context.preferences,
        training,
        job,
        champion.ref,
        tuple(results),
        answers,
        request.check or (scorer.name if scorer else ""),
        comparison.pick_preferred_versions(scorer, answers) if scorer else (),
        num_earlier,
        timer.seconds,
        best_of_n_measures,
    )


def measure_held_ratings(context: RoundContext, challenger: Model, job: Job, alpha: float) -> Measure:
    """Measure how often the challenger moved towards the raters' preference on held-out ratings."""
    held, champion = context.held_preferences, context.champion
    held_dataset = build_preference_dataset(context.workspace, champion, held.pairs, held.unpaired)
    keys = [pair.key for pair in held.pairs] * (2 if held.unpaired else 1) + [each.key for each in held.unpaired]
    is_normalized = get_preference_config(job).is_length_normalized
    return comparison.measure_agreement(champion, challenger, held_dataset, keys, is_normalized, alpha)


def run_best_of_n(context: RoundContext) -> Generator[Event | LearnResult]:
    """Run a round without training: measure what the champion gains if the reward model chooses among its answers.

    There is no challenger, so nothing is recorded in the ledger.
    """
    if context.reward_model is None:
        raise GenloomError("learn.no_best_of_n", model=context.champion.ref)
    workspace, champion, request = context.workspace, context.champion, context.request
    run = workspace.get_run(workspace.create_run(champion.name).name)
    yield Status("The champion answers held-out prompts several times")
    with context.timer.section("answers"):
        writer = load_model(workspace, champion.ref, precision=request.precision)
        first_answers = generate_answers(workspace, writer, context.eval_prompts, {"learn": run.id})
        best_of_n, count = BestOfN(context.reward_model, context.scorer), request.best_of or DEFAULT_BEST_OF
        results = measure_best_of_n(workspace, writer, best_of_n, context.eval_prompts, first_answers, count, run.id)
    receipt = build_best_of_n_receipt(
        champion.ref, context.preferences, results, context.reward_model.calibration, context.timer.seconds
    )
    yield LearnResult(receipt, save_receipt(workspace, run.id, receipt), run.id)


def select_eval_prompts(
    workspace: Workspace,
    champion: Model,
    preferences: Preferences,
    held_preferences: Preferences,
    request: LearnRequest,
) -> list[EvalPrompt]:
    """Return the held-out prompts and the extra prompts, these in the form of the first held-out one.

    Raises GenloomError, before training, for fewer than two.
    """
    outputs = [each.outputs[0] for each in (*held_preferences.pairs, *held_preferences.unpaired)]
    rated = (*preferences.pairs, *preferences.unpaired)
    rated_prompts = {normalize_prompt(each.prompt) for each in rated}
    extra_prompts = [
        prompt for prompt in dict.fromkeys(request.extra_prompts) if normalize_prompt(prompt) not in rated_prompts
    ]
    rated_nonces = list_nonces(workspace, {output for each in rated if each.task for output in each.outputs})
    eval_prompts = build_eval_prompts(workspace, champion, outputs, request.max_eval_prompts, rated_nonces)
    if outputs:
        eval_prompts += build_new_prompts(workspace, champion, outputs[0], extra_prompts)
    if len(eval_prompts) < 2 and request.max_eval_prompts < 2:
        raise GenloomError("learn.max_eval_prompts_too_small", value=request.max_eval_prompts)
    if len(eval_prompts) < 2:
        raise GenloomError("learn.too_few_eval_prompts", count=len(eval_prompts))
    return eval_prompts


def forward_events(events: Generator[Event]) -> Generator[Event, None, RunResult]:
    last_event: Event | None = None
    for last_event in events:
        yield last_event
    assert isinstance(last_event, RunResult)
    return last_event


def record_round(
    workspace: Workspace,
    ledger: Ledger,
    used: Sequence[str],
    receipt: receipts.Receipt,
    training: RunResult,
    challenger: Model,
) -> LearnResult:
    """Save the receipt in the run, record the round in the ledger, and promote the challenger if the gate says so."""
    digest = save_receipt(workspace, training.run, receipt)
    assert challenger.folder is not None
    body = {
        "model": receipt.model,
        "champion": receipt.champion,
        "challenger": receipt.challenger,
        "digest": challenger.folder.digest,
        "receipt": digest,
        "run": training.run,
        "promote": receipt.decision.should_promote,
        "used": used,
    }
    ledger.append("round", body, id=f"round-{training.run}")
    if receipt.decision.should_promote:
        reason = receipts.format_headline(receipt)
        promote_version(workspace, ledger, receipt.model, challenger.folder.version, "gate", reason, digest)
    return LearnResult(receipt, digest, training.run)


def save_receipt(workspace: Workspace, run: str, receipt: receipts.Receipt) -> str:
    """Save the receipt in the run; return its digest."""
    folder = workspace.get_run(run).folder
    write_atomic(folder / "receipt.json", receipts.to_json(receipt))
    write_atomic(folder / "receipt.html", render_page(receipt))
    write_record(folder / "receipt.digests.json", {}, ["receipt.json", "receipt.html"])
    return receipts.compute_digest(receipt)
