"""The request for a training run."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from genloom.errors import GenloomError
from genloom.train.planning.auto_config import Budget
from genloom.train.preference.stage import Preferences


@dataclass(frozen=True)
class TrainRequest:
    """A run to start, or to resume."""

    data: str  # a data set, "ratings" for preferences, or with `should_resume` the name or id of a run
    name: str = ""  # of the model; "": the data set's
    base: str = ""  # a model to fine-tune; "": train a new one
    method: str = "lora"  # of fine-tuning: "lora" or "full"; of preference training: "dpo", "kto", "weighted", "grpo"
    budget: Budget = field(default_factory=Budget)
    overrides: Mapping[str, str] = field(default_factory=dict)
    should_resume: bool = False
    steps: int = 0  # 0: chosen from the budget, or as in the job
    threads: int = 0  # 0: torch's default
    devices: int = 0  # that train together, a process each; 0: as in the job, which has one unless it says more
    save_seconds: float = 30.0
    save_steps: int = 0  # additional checkpoints every this many steps; 0: by time only
    num_samples: int = 0  # texts that a new language model writes during the run, to be read
    preferences: Preferences | None = None  # to train `base` on; a stopped run of the same request is resumed
    judged_runs: frozenset[str] = frozenset()  # of preference training, which are not resumed

    def __post_init__(self) -> None:
        budget = self.budget
        numbers = {
            "minutes": budget.minutes,
            "params": budget.params,
            "tokens": budget.tokens,
            "steps": self.steps,
            "threads": self.threads,
            "devices": self.devices,
            "save-steps": self.save_steps,
            "seed": budget.seed,
        }
        for name, value in numbers.items():
            if not 0 <= value < 2**63:
                raise GenloomError("train.negative_option", name=name, value=value)
