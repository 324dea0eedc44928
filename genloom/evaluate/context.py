"""The subject of an evaluation: a model, held-out data and options."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType
from typing import Any, Literal

from genloom import plugins
from genloom.evaluate.progress import SILENT, Progress
from genloom.evaluate.training_sources import TrainingSources, find_training_sources
from genloom.model import Model
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace

HeldOutSplit = Literal["val", "test"]


@dataclass(frozen=True)
class EvaluationOptions:
    """Options of an evaluation; a medium ignores those that its measures do not need."""

    num_samples: int = 0  # 0: the default of the medium
    max_tokens: int | None = None  # of a sample; None: the sampler's default
    temperature: float | None = None
    seed: int = 0
    max_bytes: int = 300_000  # of held-out data that is read for the likelihood
    prompt: str = ""  # of the samples of a comparison
    params: Mapping[str, Any] = field(default_factory=dict)  # other sampling parameters
    is_chat: bool | None = None  # whether prompts are questions; None: for models that were tuned on conversations


DEFAULT_OPTIONS = EvaluationOptions()


@dataclass(frozen=True)
class EvaluationContext:
    """A model, and the held-out data that it is measured on."""

    workspace: Workspace
    model: Model
    dataset: Dataset
    split: HeldOutSplit = "val"
    options: EvaluationOptions = DEFAULT_OPTIONS
    progress: Progress = SILENT

    @property
    def dataset_ref(self) -> str:
        """The version and split of the data, so that only measurements on the same values are compared."""
        excluded = f" without {len(self.dataset.excluded):,}" if self.dataset.excluded else ""
        return f"{self.dataset.name}@{self.dataset.digest[:12]}:{self.split}{excluded}"

    @cached_property
    def medium(self) -> ModuleType:
        return plugins.find_part("medium", self.model.design.medium)

    @cached_property
    def sources(self) -> TrainingSources:
        """The training data of the model, as far as they are in the workspace."""
        return find_training_sources(self.workspace, self.model)
