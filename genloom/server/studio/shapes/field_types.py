"""Types of the fields of shapes, with their bounds."""

from typing import Annotated, Literal

from pydantic import Field

JobKind = Literal[
    "generate",
    "chat",
    "arena",
    "knowledge",
    "collect",
    "train",
    "learn",
    "evaluate",
    "compare",
    "forget",
    "import",
    "export",
    "verify",
    "copies",
    "bias",
    "privacy",
    "test_prompt",
    "design",
]
JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Side = Literal["a", "b"]
Name = Annotated[str, Field(max_length=200)]
Text = Annotated[str, Field(max_length=1_000_000)]
Tags = Annotated[list[Annotated[str, Field(min_length=1, max_length=60)]], Field(max_length=50)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Size = Annotated[int, Field(ge=0, lt=2**53)]  # what JavaScript counts exactly
