"""The steps in which pretraining, fine-tuning and preference training differ; train/run.py has the others."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from genloom.model import Model
from genloom.train.data.source import BatchFn, DataSource
from genloom.train.events import Event
from genloom.train.job import Job
from genloom.train.planning.auto_config import Budget


class TrainingStage(ABC):
    """A kind of training run, with the data and models that it starts from."""

    @abstractmethod
    def plan(
        self, folder: Path, name: str, budget: Budget, overrides: Mapping[str, str]
    ) -> Generator[Event, None, Job]:
        """Plan a run in this folder; yield the progress and finally the estimate."""

    @abstractmethod
    def initialize(self, folder: Path, job: Job) -> Generator[Event, None, tuple[DataSource, Model, BatchFn]]:
        """Return the data, and the model at step 0 and its batches: functions of the job.

        Encode the data if necessary; yield the progress.
        """

    def evaluate(self, model: Model, job: Job) -> dict[str, float]:
        """Evaluate a model on other data than the held-out ones of the run."""
        return {}

    def finish(self, model: Model, job: Job) -> Generator[Event, None, dict[str, float]]:
        """Change the trained model before it is evaluated and stored, in place; return what the card says of it."""
        yield from ()
        return {}

    @abstractmethod
    def describe_data(self, job: Job) -> dict[str, Any]:
        """Return the entries of the card about the data."""

    @abstractmethod
    def write_model(self, model: Model, folder: Path, job: Job, card: Mapping[str, Any]) -> None: ...
