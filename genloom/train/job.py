"""A job: everything that determines a training run, in one readable TOML file."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from operator import attrgetter
from pathlib import Path
from typing import Any

from genloom.errors import GenloomError, format_suggestion
from genloom.model import Design, get_int_setting
from genloom.old_names import upgrade_job
from genloom.settings import parse_settings, to_plain, to_table, to_toml
from genloom.store.files import write_atomic
from genloom.train.data.fill import FillConfig
from genloom.train.data.mixture import MixtureWeights, parse_mixture, to_mixture_table
from genloom.train.loop import TrainConfig
from genloom.train.optimizers import LEARNING_RATES
from genloom.train.parallel.config import ParallelConfig, check_parallel
from genloom.train.privacy import check_config

JOB_KEYS = (
    *("name", "data", "digest", "batch_size", "pack_length", "medium", "context_length"),
    *("codec", "objective", "network", "text_encoder", "conditions", "cond_dropout", "plan", "base", "adapter"),
    *("init_from", "learning", "estimate", "rehearsal", "forgetting", "eval_share", "fim_rate", "fim_spm"),
    *("parallel", "mixture"),
)


@dataclass(frozen=True)
class Job:
    name: str  # of the model that the run stores
    data: str
    digest: str  # of the data set, so that a resumed run uses the same data
    design: Design
    plan: TrainConfig
    batch_size: int  # sequences or samples per step
    pack_length: int = 0  # tokens per row of packed documents; 0: the context length
    base: Mapping[str, str] = field(default_factory=dict)  # `ref` and `digest` of the model to fine-tune; {}: none
    init_from: Mapping[str, str] = field(default_factory=dict)  # the same of one whose fitting weights are copied
    adapter: Mapping[str, Any] = field(default_factory=dict)  # settings of the adapter; {}: train all weights
    learning: Mapping[str, Any] = field(default_factory=dict)  # settings of preference training; {}: plain data
    estimate: Mapping[str, Any] = field(default_factory=dict)  # the record of the run's `RunEstimate`
    cond_dropout: float | Mapping[str, float] = 0.1  # share of samples trained without conditions, or by condition
    rehearsal: float = 0.0  # of fine-tuning: share of rows that rehearse what the base model writes
    forgetting: float = inf  # of fine-tuning: how much the loss on general text may rise, relative to the base's
    eval_share: float = 1.0  # of the usual amount of held-out data, that evaluations read within a time limit
    fim_rate: float = 0.0  # of texts: share of documents whose middle comes last, for filling in the middle
    fim_spm: float = 0.5  # share of those whose suffix comes before the prefix
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    mixture: MixtureWeights = field(
        default_factory=dict
    )  # of texts: the weights of their sources over the run; {}: all equal

    @property
    def fill(self) -> FillConfig:
        """How documents are rearranged for filling in the middle."""
        return FillConfig(self.fim_rate, self.fim_spm, self.plan.seed)

    @property
    def tokens_per_row(self) -> int:
        """Tokens in a row; 0 for samples of one size."""
        return self.pack_length or self.design.context_length

    @property
    def units_per_step(self) -> int:
        """Units per step: predicted tokens (at most), or samples of one size."""
        return self.batch_size * (self.tokens_per_row - 1) if self.tokens_per_row else self.batch_size

    @staticmethod
    def from_tables(tables: Mapping[str, Any]) -> "Job":
        """Parse the tables of a job. Raises ValueError for an unknown key or value, and for a missing key."""
        tables = upgrade_job(tables)
        for key in tables:
            if key not in JOB_KEYS:
                hint = format_suggestion(key, JOB_KEYS)
                raise GenloomError("train.unknown_setting", key=key, hint=hint, known=", ".join(JOB_KEYS))
        for key in ("name", "data", "digest"):
            if not isinstance(tables.get(key), str):
                raise GenloomError("train.missing_setting", key=key)
        for key in ("plan", "base", "init_from", "adapter", "learning", "estimate", "parallel"):
            if not isinstance(tables.get(key, {}), Mapping):
                raise GenloomError("train.not_a_table", key=key, value=tables[key])
        plan = parse_settings(TrainConfig, tables.get("plan", {}), "plan")
        check_plan(plan)
        if plan.private.is_on and (not tables.get("base") or tables.get("learning")):
            raise GenloomError("train.private_stage")
        if plan.private.is_on and tables.get("fim_rate"):
            raise GenloomError("train.private_fill", rate=tables["fim_rate"])
        parallel = parse_settings(ParallelConfig, tables.get("parallel", {}), "parallel")
        check_parallel(parallel)
        mixture = parse_mixture(tables)
        if mixture and (tables.get("base") or tables.get("learning")):
            raise GenloomError("train.mixture_with_base")
        design = Design.from_job(tables)
        cond_dropout = parse_cond_dropout(tables.get("cond_dropout", 0.1), design)
        return Job(
            tables["name"],
            tables["data"],
            tables["digest"],
            design,
            plan,
            get_int_setting(tables, "batch_size", 1),
            get_int_setting(tables, "pack_length", 2) if tables.get("pack_length") else 0,
            dict(tables.get("base", {})),
            dict(tables.get("init_from", {})),
            dict(tables.get("adapter", {})),
            dict(tables.get("learning", {})),
            dict(tables.get("estimate", {})),
            cond_dropout,
            parse_number(tables, "rehearsal", 0.0, maximum=0.9),
            parse_number(tables, "forgetting", inf),
            parse_number(tables, "eval_share", 1.0, maximum=1.0),
            parse_number(tables, "fim_rate", 0.0, maximum=1.0),
            parse_number(tables, "fim_spm", 0.5, maximum=1.0),
            parallel,
            mixture,
        )

    def to_tables(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "data": self.data,
            "digest": self.digest,
            "batch_size": self.batch_size,
            **({"pack_length": self.pack_length} if self.pack_length else {}),
            **self.design.to_tables(),
            **({"cond_dropout": to_plain(self.cond_dropout)} if self.design.condition_tables else {}),
            "plan": to_table(self.plan),
            **({"parallel": to_table(self.parallel)} if self.parallel != ParallelConfig() else {}),
            **({"mixture": to_mixture_table(self.mixture)} if self.mixture else {}),
            **({"base": dict(self.base)} if self.base else {}),
            **({"init_from": dict(self.init_from)} if self.init_from else {}),
            **({"adapter": to_plain(self.adapter)} if self.adapter else {}),
            **({"learning": dict(self.learning)} if self.learning else {}),
            **({"rehearsal": self.rehearsal} if self.rehearsal else {}),
            **({"forgetting": self.forgetting} if self.forgetting < inf else {}),
            **({"eval_share": self.eval_share} if self.eval_share < 1 else {}),
            **({"fim_rate": self.fim_rate, "fim_spm": self.fim_spm} if self.fim_rate else {}),
            "estimate": dict(self.estimate),
        }

    def save(self, path: Path) -> None:
        write_atomic(path, to_toml(self.to_tables()))


def parse_cond_dropout(value: Any, design: Design) -> float | dict[str, float]:
    """Parse a share, or a table of shares by condition. Raise ValueError for a share below 0 or from 1 on."""
    if isinstance(value, Mapping):
        if unknown := [name for name in value if name not in design.condition_tables]:
            known = ", ".join(design.condition_tables)
            raise GenloomError("train.cond_dropout_name", condition=unknown[0], known=known)
        return {name: _parse_dropout_share(share) for name, share in value.items()}
    return _parse_dropout_share(value)


def _parse_dropout_share(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise GenloomError("train.bad_cond_dropout", value=value)
    return float(value)


def parse_number(tables: Mapping[str, Any], key: str, default: float, maximum: float = inf) -> float:
    """Return the number of a key, or the default. Raise ValueError for one outside 0 to `maximum`."""
    value = tables.get(key, default)
    value = inf if value == "inf" else value  # as settings from the command line and of recipes write it
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= maximum:
        raise GenloomError("train.bad_number", key=key, value=value, maximum=maximum)
    return float(value)


def check_plan(plan: TrainConfig) -> None:
    """Raise ValueError if a setting of the plan is out of range."""
    ranges = {
        "steps": (1 <= plan.steps <= 10**9, "from 1 to 1,000,000,000"),
        "warmup": (plan.warmup >= 0, "at least 0"),
        "cooldown": (0 <= plan.cooldown <= 1, "from 0 to 1"),
        "max_grad_norm": (plan.max_grad_norm >= 0, "at least 0 (0: no clipping)"),
        "ema_decay": (0 <= plan.ema_decay < 1, "at least 0 (0: no averaging) and below 1"),
        "post_hoc_ema": (plan.post_hoc_ema >= 0, "at least 0 (0: no stored averages)"),
        "grad_accum_steps": (1 <= plan.grad_accum_steps <= 10**6, "from 1 to 1,000,000"),
        "seed": (0 <= plan.seed < 2**63, "at least 0"),
        "max_seconds": (plan.max_seconds >= 0, "at least 0 (0: no limit)"),
        "closing_steps": (plan.closing_steps >= 0, "at least 0"),
        "max_steps": (plan.max_steps >= 0, "at least 0 (0: as many as planned)"),
        **{f"optimizer.{name}": (getattr(plan.optimizer, name) >= 0, "at least 0") for name in LEARNING_RATES},
        "optimizer.weight_decay": (plan.optimizer.weight_decay >= 0, "at least 0"),
        "optimizer.momentum": (0 <= plan.optimizer.momentum < 1, "at least 0 and below 1"),
        "optimizer.betas": (all(0 <= beta < 1 for beta in plan.optimizer.betas), "at least 0 and below 1"),
    }
    for name, (is_valid, constraint) in ranges.items():
        if not is_valid:
            raise GenloomError("train.bad_plan", name=name, constraint=constraint, value=attrgetter(name)(plan))
    check_config(plan.private)


def read_job(path: Path) -> Job:
    try:
        return Job.from_tables(tomllib.loads(path.read_text()))
    except (OSError, ValueError) as error:
        reason = (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
        raise GenloomError("train.bad_job_file", path=path, reason=reason.rstrip(".")) from None
