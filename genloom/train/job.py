"""A job: all that decides what a training run does, as one readable TOML file."""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genloom.model import Design, int_setting
from genloom.old_names import upgrade_job
from genloom.settings import parse, to_plain, to_table, to_toml
from genloom.store.files import write_atomic
from genloom.train.loop import TrainConfig

JOB_KEYS = (
    *(
        "name",
        "data",
        "digest",
        "batch_size",
        "pack_length",
        "medium",
        "context_length",
        "codec",
        "objective",
        "network",
        "text_encoder",
    ),
    *("cond_dropout", "plan", "base", "adapter", "learning", "estimate"),
)


@dataclass(frozen=True)
class Job:
    name: str  # of the model to be
    data: str
    digest: str  # of the data set, so that a resumed run learns from the same text
    design: Design
    plan: TrainConfig
    batch_size: int  # sequences or samples a step
    pack_length: int = 0  # symbols of a row into which documents are packed; 0: as many as the network reads
    base: Mapping[str, str] = field(default_factory=dict)  # `ref` and `digest` of the model to tune; none: a new one
    adapter: Mapping[str, Any] = field(default_factory=dict)  # what is learned of it; none: all its weights
    learning: Mapping[str, Any] = field(default_factory=dict)  # how ratings are learned from; none: it is text
    estimate: Mapping[str, Any] = field(default_factory=dict)  # what was measured and promised before the run
    cond_dropout: float = 0.1  # share of the samples that are read without their prompt, which guidance needs

    @property
    def tokens_per_row(self) -> int:
        """What a row holds."""
        return self.pack_length or self.design.context_length

    @property
    def units_per_step(self) -> int:
        """What a step reads: symbols that are predicted, at most, or where samples have one size, samples."""
        return self.batch_size * (self.tokens_per_row - 1) if self.tokens_per_row else self.batch_size

    @staticmethod
    def from_tables(tables: Mapping[str, Any]) -> "Job":
        """Raises ValueError for a key no job has, naming the nearest, and for one that is missing."""
        tables = upgrade_job(tables)
        for key in tables:
            if key not in JOB_KEYS:
                near = difflib.get_close_matches(key, JOB_KEYS, 1)
                raise ValueError(
                    f"Unknown setting {key}.{f' Did you mean {near[0]!r}?' if near else ''} "
                    f"A job has: {', '.join(JOB_KEYS)}."
                )
        for key in ("name", "data", "digest"):
            if not isinstance(tables.get(key), str):
                raise ValueError(f"A job must set {key}, and this one does not.")
        for key in ("plan", "base", "adapter", "learning", "estimate"):
            if not isinstance(tables.get(key, {}), Mapping):
                raise ValueError(f"{key} must be a table of settings, got {tables[key]!r}.")
        plan = parse(TrainConfig, tables.get("plan", {}), "plan")
        check_plan(plan)
        cond_dropout = tables.get("cond_dropout", 0.1)
        if isinstance(cond_dropout, bool) or not isinstance(cond_dropout, int | float) or not 0 <= cond_dropout < 1:
            raise ValueError(f"cond_dropout must be a share from 0 to below 1, got {cond_dropout!r}.")
        return Job(
            tables["name"],
            tables["data"],
            tables["digest"],
            Design.from_job(tables),
            plan,
            int_setting(tables, "batch_size", 1),
            int_setting(tables, "pack_length", 2) if tables.get("pack_length") else 0,
            dict(tables.get("base", {})),
            dict(tables.get("adapter", {})),
            dict(tables.get("learning", {})),
            dict(tables.get("estimate", {})),
            float(cond_dropout),
        )

    def to_tables(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "data": self.data,
            "digest": self.digest,
            "batch_size": self.batch_size,
            **({"pack_length": self.pack_length} if self.pack_length else {}),
            **self.design.to_tables(),
            **({"cond_dropout": self.cond_dropout} if self.design.text_encoder else {}),
            "plan": to_table(self.plan),
            **({"base": dict(self.base)} if self.base else {}),
            **({"adapter": to_plain(self.adapter)} if self.adapter else {}),
            **({"learning": dict(self.learning)} if self.learning else {}),
            "estimate": dict(self.estimate),
        }

    def save(self, path: Path) -> None:
        write_atomic(path, to_toml(self.to_tables()))


def check_plan(plan: TrainConfig) -> None:
    """Raises ValueError for a plan that no run can follow."""
    ranges = {
        "steps": (plan.steps >= 1, "1 or more"),
        "warmup": (plan.warmup >= 0, "0 or more"),
        "cooldown": (0 <= plan.cooldown <= 1, "a share from 0 to 1"),
        "max_grad_norm": (plan.max_grad_norm >= 0, "0 (no bound) or more"),
        "ema_decay": (0 <= plan.ema_decay < 1, "0 (no averages) or more, below 1"),
        "grad_accum_steps": (plan.grad_accum_steps >= 1, "1 or more"),
        "seed": (0 <= plan.seed < 2**63, "0 or more"),
    }
    for name, (is_valid, constraint) in ranges.items():
        if not is_valid:
            raise ValueError(f"plan.{name} must be {constraint}, got {getattr(plan, name)}.")


def read_job(path: Path) -> Job:
    try:
        return Job.from_tables(tomllib.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: this job cannot be used: {error}") from None
