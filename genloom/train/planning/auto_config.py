"""Automatic configuration: from one budget (minutes, parameters, tokens or steps) to a complete job.

It measures this machine, chooses sizes and forecasts the result. docs/scaling.md derives the rules and their numbers.
The modules of networks and codecs may define hooks for their own settings: `default_config`, `resize_config`,
`with_dropout`, `num_folds`.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from pathlib import Path
from typing import Any

from genloom import plugins
from genloom.capabilities import Hook
from genloom.errors import GenloomError, format_message
from genloom.memory import measure_memory
from genloom.model import build_objective, check_design, count_network_parameters, fit_conditions, resolve_space
from genloom.running_time import read_running_seconds
from genloom.settings import apply_overrides
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from genloom.text_format import format_count
from genloom.train.data.fill import add_fill_tokens
from genloom.train.data.source import PretrainingSource, get_plural_name, load_or_fit_codec, prepare_source
from genloom.train.events import Event, RunEstimate, RunWarning, Status
from genloom.train.job import Job
from genloom.train.planning import forecast
from genloom.train.planning.benchmark import Benchmark, StepBenchmark, find_compile_error
from genloom.train.planning.defaults import default_tables, describe_parts
from genloom.types import Codec, Item

MODEL_SIZES = (
    (64, 2, 2),
    (96, 3, 3),
    (128, 4, 4),
    (192, 4, 6),
    (256, 5, 8),
    (320, 6, 10),
    (384, 8, 12),
    (512, 10, 16),
    (640, 12, 20),
    (768, 14, 24),
)
REFERENCE_SIZE = MODEL_SIZES[3]
SMALLEST_SIZE = MODEL_SIZES[0]
MAX_PARAMETERS_PER_TOKEN = 16  # of the training data: text read over and over is worth at most 16 readings of new text
MIN_STEPS = 60
LONG_RUN_STEPS = 3000  # beyond, the batch grows
DROPOUT = 0.1  # for many epochs
COMPILE_MIN_SECONDS = 400  # of training; shorter runs do not repay the half minute of torch.compile
MAX_PILOT_FRACTION = 0.08  # of the time, for a pilot run that measures how fast a text is learned
MAX_SETUP_FRACTION = 0.35  # of the time; then no further network size is measured
RESERVED_FRACTION = 0.04  # of the time, for storing and the unforeseen
MAX_GROWTH = 2  # times the planned steps, of a run that is faster than its forecast


@dataclass(frozen=True)
class Budget:
    """The requested limits of a run; 0: choose automatically."""

    minutes: float = 0.0
    params: int = 0
    tokens: int = 0
    steps: int = 0
    seed: int = 0
    started_at: float = 0.0  # by read_running_seconds, from which the minutes count; 0: from when planning begins
    measured: dict[str, Any] | None = None  # what forecasts on the same data measured before, which is not repeated


@dataclass(frozen=True)
class TimeLeft:
    """The time left for training steps, after setup and evaluation."""

    budget: Budget
    minutes: float  # 0: unlimited
    eval_reads: int  # units read by all evaluations
    started_at: float

    @property
    def seconds(self) -> float:
        """The time left for training and evaluations; 0 if there is no limit."""
        limit = self.minutes * 60 * (1 - RESERVED_FRACTION)
        return max(self.started_at + limit - read_running_seconds(), 1e-3) if self.minutes else 0.0

    @property
    def is_setup_long(self) -> bool:
        """Whether setup has taken its share of the time."""
        return 0 < MAX_SETUP_FRACTION * self.minutes * 60 < read_running_seconds() - self.started_at

    def count_steps(self, step_seconds: float, units_per_step: int) -> int:
        """Return the requested number of steps, or how many fit into the time left."""
        if self.budget.steps or self.budget.tokens:
            return self.budget.steps or -(-self.budget.tokens // units_per_step)
        return max(int((self.seconds - self.estimate_eval_seconds(step_seconds, units_per_step)) / step_seconds), 0)

    def estimate_eval_seconds(self, step_seconds: float, units_per_step: int) -> float:
        """Estimate the time of all evaluations, which read less where they would take too much of the limit."""
        eval_seconds = forecast.estimate_eval_seconds(step_seconds / units_per_step, self.eval_reads)
        return eval_seconds * self.choose_eval_share(eval_seconds)

    def choose_eval_share(self, eval_seconds: float) -> float:
        """Return the share of the held-out data to read, if all of it takes so long."""
        return forecast.choose_eval_share(eval_seconds, self.minutes * 60)


@dataclass(frozen=True)
class ScalingForecast:
    """The expected quality of runs on a text."""

    ngram_baseline: float  # bits per byte; 0: unknown
    law: forecast.ScalingLaw | None
    dataset_tokens: int

    def predict_bits_per_byte(self, num_parameters: int, num_tokens: int) -> float | None:
        """Predict the bits per byte after this many tokens; None without a scaling law."""
        return (
            self.ngram_baseline * self.law.predict_ratio(num_parameters, num_tokens, self.dataset_tokens)
            if self.law and self.ngram_baseline
            else None
        )


@dataclass(frozen=True)
class Candidate:
    """A network size with its measurements on this machine."""

    job: Job
    benchmark: StepBenchmark
    steps: int
    score: float  # lower is better

    @property
    def total_units(self) -> int:
        return self.steps * self.job.units_per_step

    @property
    def seconds(self) -> float:
        return self.steps * self.benchmark.step_seconds


def plan_training(
    folder: Path, workspace: Workspace, dataset: Dataset, name: str, budget: Budget, overrides: Mapping[str, str]
) -> Generator[Event, None, Job]:
    """Plan a run; yield the progress and finally the estimate, return the job.

    Raises ValueError for conflicting or impossible limits, and for a misspelt setting.
    """
    started_at = budget.started_at or read_running_seconds()
    if sum(bool(w) for w in (budget.minutes, budget.tokens, budget.steps)) > 1:
        raise GenloomError("train.several_lengths")
    minutes = budget.minutes or (0.0 if budget.tokens or budget.steps else 5.0)
    if not dataset.count_bytes("train"):
        raise GenloomError("train.no_data", data=dataset.name, values=get_plural_name(dataset.medium))
    job = Job.from_tables(apply_overrides(default_job(workspace, dataset, name, budget, overrides), overrides))
    check_design(job.design)
    yield Status(describe_parts(job.design, dataset, overrides))

    def iter_items(column: str) -> Iterator[Item]:
        return dataset.iter_metadata("train", column) if column else dataset.iter_documents("train")

    job = replace(job, design=fit_conditions(add_fill_tokens(job.design, job.fim_rate), iter_items))
    yield Status(f"Fitting the codec and encoding the {get_plural_name(dataset.medium)}")
    codec = load_or_fit_codec(folder, workspace, dataset, job.design)
    choose_model_sizes(job, codec, budget.params)  # refuses a size before the documents are encoded
    source = yield from prepare_source(folder, workspace, dataset, job.design, codec, job.fill, job.mixture)
    time_left = TimeLeft(budget, minutes, source.eval_reads, started_at)
    job = limit_context_length(job, source, overrides)
    ngram_baseline = source.compute_ngram_baseline(job.design)
    benchmark = Benchmark(source, {} if budget.measured is None else budget.measured)
    model_sizes = choose_model_sizes(job, codec, budget.params)
    if not budget.params:
        model_sizes = limit_model_sizes(job, codec, model_sizes, len(source) * source.tokens_per_sample)
    yield Status("Measuring this machine")
    if "plan.precision" not in overrides:
        reference_size = min(REFERENCE_SIZE, model_sizes[-1])
        precision = benchmark.choose_precision(override_network(job, "resize_config", *reference_size))
        job = replace(job, plan=replace(job.plan, precision=precision))
    law = yield from fit_scaling_law(job, benchmark, budget, minutes, ngram_baseline)
    scaling_forecast = ScalingForecast(ngram_baseline, law, len(source))
    candidates = iter_candidates(job, benchmark, time_left, scaling_forecast, overrides, model_sizes)
    candidate = choose_candidate(list(candidates), budget)
    if candidate.total_units > source.epochs_before_dropout * len(source):
        candidate = replace(candidate, job=override_network(candidate.job, "with_dropout", DROPOUT))
    if "plan.torch_compile" not in overrides and candidate.seconds > COMPILE_MIN_SECONDS:
        candidate = yield from try_compile(candidate, benchmark, time_left)
    if candidate.total_units > source.epochs_before_warning * len(source):
        epochs, values = candidate.total_units / len(source), get_plural_name(dataset.medium)
        yield RunWarning(format_message("train.many_epochs", epochs=epochs, values=values))
    if minutes and candidate.steps < MIN_STEPS:
        setup_minutes = (read_running_seconds() - started_at) / 60
        steps = format_count(candidate.steps, "step")
        yield RunWarning(format_message("train.long_setup", setup=setup_minutes, minutes=minutes, steps=steps))
    if candidate.steps == 1 and 0 < budget.tokens < candidate.total_units:
        total = f"{candidate.total_units:,} {source.unit.word}"
        yield RunWarning(format_message("train.one_step", tokens=budget.tokens, total=total))
    if budget.params and not 0.5 < candidate.benchmark.num_parameters / budget.params < 2:
        closest = candidate.benchmark.num_parameters
        yield RunWarning(format_message("train.no_such_size", params=budget.params, closest=closest))
    job, step_seconds = candidate.job, candidate.benchmark.step_seconds
    eval_seconds = forecast.estimate_eval_seconds(step_seconds / job.units_per_step, source.eval_reads)
    eval_share = time_left.choose_eval_share(eval_seconds)
    setup_seconds = read_running_seconds() - started_at
    estimate = estimate_training(candidate, source, scaling_forecast, eval_share * eval_seconds, setup_seconds)
    yield estimate
    final_share = source.final_eval_size / (source.final_eval_size + forecast.NUM_EVALS * source.eval_size)
    plan = replace(
        job.plan,
        steps=candidate.steps,
        warmup=min(job.plan.warmup, max(candidate.steps // 10, 1)),
        max_seconds=round(time_left.seconds, 1),
        closing_steps=round(eval_share * final_share * eval_seconds / step_seconds, 2) if minutes else 0.0,
        max_steps=MAX_GROWTH * candidate.steps if minutes else 0,
    )
    return replace(job, plan=plan, estimate=estimate.to_record(), eval_share=eval_share)


def fit_scaling_law(
    job: Job, benchmark: Benchmark, budget: Budget, minutes: float, ngram_baseline: float
) -> Generator[Event, None, forecast.ScalingLaw | None]:
    """Return the scaling law of this text, fitted to a pilot run of a small network if that pays."""
    law = forecast.find_scaling_law(job.design, len(benchmark.source))
    if law is None or not ngram_baseline or len(benchmark.source) <= forecast.PILOT_MIN_TOKENS:
        return law
    pilot_job = override_network(job, "resize_config", *SMALLEST_SIZE)
    step_benchmark, steps = benchmark.measure_step(pilot_job), -(-forecast.PILOT_TOKENS // pilot_job.units_per_step)
    requested_steps = budget.steps or budget.tokens / pilot_job.units_per_step
    run_seconds = minutes * 60 or requested_steps * step_benchmark.step_seconds
    is_too_large = step_benchmark.num_parameters > 2 * forecast.PILOT_PARAMETERS
    if is_too_large or steps * step_benchmark.step_seconds > MAX_PILOT_FRACTION * run_seconds:
        return law
    yield Status("Training a small pilot network to forecast the quality")
    pilot_gain = 1 - benchmark.train_and_evaluate(pilot_job, steps) / ngram_baseline
    return forecast.find_scaling_law(job.design, len(benchmark.source), pilot_gain)


def estimate_training(
    candidate: Candidate,
    source: PretrainingSource,
    scaling_forecast: ScalingForecast,
    eval_seconds: float,
    setup_seconds: float,
) -> RunEstimate:
    """Estimate the cost and quality of the run. Raises ValueError if memory does not suffice."""
    num_parameters = candidate.benchmark.num_parameters
    seconds = candidate.seconds + eval_seconds
    bits_per_byte = scaling_forecast.predict_bits_per_byte(num_parameters, candidate.total_units)
    ngram_baseline = scaling_forecast.ngram_baseline
    available_bytes = measure_memory().available  # without the networks' n-gram counts, which are loaded
    activation_bytes = candidate.benchmark.activation_bytes * candidate.job.batch_size
    return RunEstimate(
        num_parameters=num_parameters,
        steps=candidate.steps,
        total_units=candidate.total_units,
        seconds=round(seconds, 1),
        setup_seconds=round(setup_seconds, 1),
        memory_bytes=forecast.check_memory(candidate.job.plan, num_parameters, activation_bytes, available_bytes),
        units_per_second=round(candidate.total_units / seconds),
        expected_loss=round(bits_per_byte, 4) if bits_per_byte else None,
        error_margin=scaling_forecast.law.error if scaling_forecast.law else forecast.DEFAULT_ERROR,
        ngram_baseline=round(ngram_baseline, 4) if ngram_baseline else None,
        unit=source.unit,
        metric=source.metric,
        num_epochs=round(candidate.total_units / len(source), 2),
    )


def override_network(job: Job, hook: Hook, *args: Any) -> Job:
    """Return the job with the network settings that a hook of the network's module returns, if it has the hook."""
    build_settings = plugins.get_hook("network", job.design.network, hook)
    if build_settings is None:
        return job
    return replace(job, design=replace(job.design, network_settings=build_settings(job.design.network_settings, *args)))


def default_job(
    workspace: Workspace, dataset: Dataset, name: str, budget: Budget, overrides: Mapping[str, str]
) -> dict[str, Any]:
    """Return the tables of the job before any measurement."""
    tables = default_tables(workspace, dataset, overrides)
    plan = {**tables["plan"], "steps": 1, "seed": budget.seed}
    return {"name": name, "data": dataset.name, "digest": dataset.digest, **tables, "plan": plan}


def limit_context_length(job: Job, source: PretrainingSource, overrides: Mapping[str, str]) -> Job:
    """Return the job with a context length that the data can fill, unless it is set."""
    if "context_length" in overrides:
        return job
    count_folds = plugins.get_hook("network", job.design.network, "num_folds")
    num_folds = count_folds(job.design.network_settings) if count_folds else 1
    context_length = source.limit_context_length(job.design.context_length, num_folds)
    return replace(job, design=replace(job.design, context_length=context_length))


def choose_model_sizes(job: Job, codec: Codec, params: int) -> Sequence[tuple[int, int, int]]:
    """Return the network size closest to the requested number of parameters; all sizes if none is requested.

    Raises GenloomError if even the largest has less than half of them.
    """
    if not params:
        return MODEL_SIZES
    objective = build_objective(job.design, resolve_space(job.design, codec))
    counts = {
        size: count_network_parameters(override_network(job, "resize_config", *size).design, objective)
        for size in MODEL_SIZES
    }
    closest_size = min(counts, key=lambda size: abs(log(counts[size] / params)))
    if params > 2 * max(counts.values()):
        raise GenloomError("train.no_such_size", params=params, closest=counts[closest_size])
    return (closest_size,)


def limit_model_sizes(
    job: Job, codec: Codec, model_sizes: Sequence[tuple[int, int, int]], num_tokens: int
) -> Sequence[tuple[int, int, int]]:
    """Return the first sizes, up to the largest whose parameters this many tokens of training data can determine.

    The smallest is always one of them. Networks are counted without their memory, and those beyond are never built.
    """
    objective = build_objective(job.design, resolve_space(job.design, codec))
    for number, size in enumerate(model_sizes[1:], start=1):
        sized_job = override_network(job, "resize_config", *size)
        if count_network_parameters(sized_job.design, objective) > MAX_PARAMETERS_PER_TOKEN * num_tokens:
            return model_sizes[:number]
    return model_sizes


def iter_candidates(
    job: Job,
    benchmark: Benchmark,
    time_left: TimeLeft,
    scaling_forecast: ScalingForecast,
    overrides: Mapping[str, str],
    model_sizes: Sequence[tuple[int, int, int]] = MODEL_SIZES,
) -> Iterator[Candidate]:
    """Measure network sizes, small to large, until one is too slow for the time or predicted to be worse."""
    budget, minutes, source = time_left.budget, time_left.minutes, benchmark.source
    best_score, previous_job = float("inf"), None
    for model_size in model_sizes:
        sized_job = override_network(job, "resize_config", *model_size)
        if sized_job == previous_job:  # the sizes are fixed by overrides
            return
        previous_job = sized_job
        try:
            step_benchmark = benchmark.measure_step(sized_job)
        except GenloomError as error:
            if error.code == "train.out_of_memory" and best_score < float("inf"):
                return
            raise
        steps = time_left.count_steps(step_benchmark.step_seconds, sized_job.units_per_step)
        if steps < MIN_STEPS and minutes and best_score < float("inf"):
            return
        steps = max(steps, 1)
        if not budget.steps and "batch_size" not in overrides:  # in a long run, the batch grows instead of the steps
            batch_scale = 2 ** max(int(log(max(steps / LONG_RUN_STEPS, 1), 2)), 0)
            sized_job, steps = replace(sized_job, batch_size=sized_job.batch_size * batch_scale), steps // batch_scale
            step_benchmark = replace(step_benchmark, step_seconds=step_benchmark.step_seconds * batch_scale)
        total_units = steps * sized_job.units_per_step
        bits_per_byte = scaling_forecast.predict_bits_per_byte(step_benchmark.num_parameters, total_units)
        equivalent_tokens = total_units * source.tokens_per_sample
        score = (
            forecast.measure_chinchilla_gap(step_benchmark.num_parameters, equivalent_tokens)
            if bits_per_byte is None
            else bits_per_byte
        )
        yield Candidate(sized_job, step_benchmark, steps, score)
        if time_left.is_setup_long:
            return
        is_last = score > best_score * 1.01
        # Without a time limit, the number of tokens bounds the size.
        is_last = is_last or (not (minutes or budget.params) and step_benchmark.num_parameters > equivalent_tokens / 10)
        best_score = min(best_score, score)
        if is_last:
            return


def choose_candidate(candidates: list[Candidate], budget: Budget) -> Candidate:
    if budget.params:
        return min(candidates, key=lambda c: abs(log(c.benchmark.num_parameters / budget.params)))
    return min(candidates, key=lambda c: c.score)


def try_compile(candidate: Candidate, benchmark: Benchmark, time_left: TimeLeft) -> Generator[Event, None, Candidate]:
    """Return the candidate with or without torch.compile, whichever is faster, and the steps that still fit.

    Torch caches the compiled code on disk, so the run itself does not compile it again.
    """
    yield Status("Measuring whether torch.compile makes training faster")
    jobs = [candidate.job]
    if compile_error := find_compile_error():
        yield RunWarning(format_message("train.no_torch_compile", reason=compile_error))
    else:
        jobs.append(replace(candidate.job, plan=replace(candidate.job.plan, torch_compile=True)))
    candidates = [replace(candidate, job=job, benchmark=benchmark.measure_step(job)) for job in jobs]
    fastest = min(candidates, key=lambda c: c.benchmark.step_seconds)
    steps = time_left.count_steps(fastest.benchmark.step_seconds, fastest.job.units_per_step)
    return replace(fastest, steps=max(steps, 1))
