"""Options of `train` and `learn`: settings of the job."""

from typing import Annotated

from cyclopts import Parameter

Settings = Annotated[
    list[str],
    Parameter(help="Job setting as PATH=VALUE, e.g. plan.warmup=100; genloom parts --settings lists them. Repeatable."),
]
