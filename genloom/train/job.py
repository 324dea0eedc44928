"""A job: all that decides what a training run does, as one readable TOML file."""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genloom.model import Design, whole
from genloom.settings import as_toml, made, plain, table
from genloom.store.files import write_atomic
from genloom.train.loop import Plan

TABLES = (
    *("name", "data", "digest", "rows", "row_length", "medium", "length", "codec", "objective", "network", "prompts"),
    *("unprompted", "plan", "base", "adapter", "learning", "contract"),
)


@dataclass(frozen=True)
class Job:
    name: str  # of the model to be
    data: str
    digest: str  # of the data set, so that a resumed run learns from the same text
    design: Design
    plan: Plan
    rows: int  # sequences or samples a step
    row_length: int = 0  # symbols of a row into which documents are packed; 0: as many as the network reads
    base: Mapping[str, str] = field(default_factory=dict)  # `ref` and `digest` of the model to tune; none: a new one
    adapter: Mapping[str, Any] = field(default_factory=dict)  # what is learned of it; none: all its weights
    learning: Mapping[str, Any] = field(default_factory=dict)  # how ratings are learned from; none: it is text
    contract: Mapping[str, Any] = field(default_factory=dict)  # what was measured and promised before the run
    unprompted: float = 0.1  # share of the samples that are read without their prompt, which guidance needs

    @property
    def symbols(self) -> int:
        """What a row holds."""
        return self.row_length or self.design.length

    @property
    def amount(self) -> int:
        """What a step reads: symbols that are predicted, at most, or where samples have one size, samples."""
        return self.rows * (self.symbols - 1) if self.symbols else self.rows

    @staticmethod
    def of(tables: Mapping[str, Any]) -> "Job":
        """Raises ValueError for a key no job has, naming the nearest, and for one that is missing."""
        for key in tables:
            if key not in TABLES:
                near = difflib.get_close_matches(key, TABLES, 1)
                raise ValueError(
                    f"Unknown setting {key}.{f' Did you mean {near[0]!r}?' if near else ''} "
                    f"A job has: {', '.join(TABLES)}."
                )
        for key in ("name", "data", "digest"):
            if not isinstance(tables.get(key), str):
                raise ValueError(f"A job must set {key}, and this one does not.")
        for key in ("plan", "base", "adapter", "learning", "contract"):
            if not isinstance(tables.get(key, {}), Mapping):
                raise ValueError(f"{key} must be a table of settings, got {tables[key]!r}.")
        plan = made(Plan, tables.get("plan", {}), "plan")
        check_plan(plan)
        unprompted = tables.get("unprompted", 0.1)
        if isinstance(unprompted, bool) or not isinstance(unprompted, int | float) or not 0 <= unprompted < 1:
            raise ValueError(f"unprompted must be a share from 0 to below 1, got {unprompted!r}.")
        return Job(
            tables["name"],
            tables["data"],
            tables["digest"],
            Design.of(tables),
            plan,
            whole(tables, "rows", 1),
            whole(tables, "row_length", 2) if tables.get("row_length") else 0,
            dict(tables.get("base", {})),
            dict(tables.get("adapter", {})),
            dict(tables.get("learning", {})),
            dict(tables.get("contract", {})),
            float(unprompted),
        )

    def tables(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "data": self.data,
            "digest": self.digest,
            "rows": self.rows,
            **({"row_length": self.row_length} if self.row_length else {}),
            **self.design.tables(),
            **({"unprompted": self.unprompted} if self.design.prompts else {}),
            "plan": table(self.plan),
            **({"base": dict(self.base)} if self.base else {}),
            **({"adapter": plain(self.adapter)} if self.adapter else {}),
            **({"learning": dict(self.learning)} if self.learning else {}),
            "contract": dict(self.contract),
        }

    def save(self, path: Path) -> None:
        write_atomic(path, as_toml(self.tables()))


def check_plan(plan: Plan) -> None:
    """Raises ValueError for a plan that no run can follow."""
    ranges = {
        "steps": (plan.steps >= 1, "1 or more"),
        "warmup": (plan.warmup >= 0, "0 or more"),
        "decay": (0 <= plan.decay <= 1, "a share from 0 to 1"),
        "clip": (plan.clip >= 0, "0 (no bound) or more"),
        "average": (0 <= plan.average < 1, "0 (no averages) or more, below 1"),
        "pieces": (plan.pieces >= 1, "1 or more"),
        "seed": (0 <= plan.seed < 2**63, "0 or more"),
    }
    for name, (holds, wanted) in ranges.items():
        if not holds:
            raise ValueError(f"plan.{name} must be {wanted}, got {getattr(plan, name)}.")


def read_job(path: Path) -> Job:
    try:
        return Job.of(tomllib.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: this job cannot be used: {error}") from None
