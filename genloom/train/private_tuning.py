"""The plan of private tuning: documents a step, the noise, and the batches; see privacy.py."""

from dataclasses import replace

from genloom.capabilities import BatchPreparing
from genloom.errors import GenloomError
from genloom.model import Model
from genloom.train.data.private_batches import PoissonBatches
from genloom.train.data.source import BatchFn, FinetuningSource
from genloom.train.job import Job
from genloom.train.privacy import MIN_ROWS, PrivacyConfig, choose_noise


def with_private_rows(job: Job, model: Model, source: FinetuningSource, is_set: bool) -> Job:
    """Return the job with as many documents a step as private training needs, unless their number is set.

    Raise GenloomError for a model whose gradients mix several documents: train.private_objective.
    """
    if isinstance(model.objective, BatchPreparing) or len(model.objective.phases) > 1:
        raise GenloomError("train.private_objective", objective=job.design.objective)
    _, count = source.build_private_rows(job)
    rows = job.batch_size if is_set else max(job.batch_size, min(MIN_ROWS, count // 4), 1)
    private = replace(job.plan.private, documents=count, rows=min(rows, count))
    return replace(job, batch_size=min(rows, count), plan=replace(job.plan, private=private))


def build_batches(source: FinetuningSource, job: Job, model: Model) -> BatchFn:
    """Return the batches of a run; those of private training still need the run's key."""
    if not job.plan.private.is_on:
        return source.build_batches(job, model)
    return PoissonBatches(*source.build_private_rows(job), job.plan.private.rows)


def choose_private_noise(job: Job, steps: int) -> PrivacyConfig:
    """Return the settings of private training with the noise for so many steps."""
    private = job.plan.private
    return choose_noise(private, private.documents, private.rows, steps)


def describe_privacy(job: Job, steps: int) -> str:
    """Return a line on the promise of a run, and the noise that it costs."""
    private = job.plan.private
    facts = private.describe(steps)
    line = f"Private training: epsilon {facts['epsilon']:.3g} at delta {private.delta:.0e} for each document"
    return f"{line}; noise {private.noise_multiplier:.3g}, {private.rows} of {private.documents:,} documents a step"
