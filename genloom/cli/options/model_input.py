"""Options of what a model reads: prompts, conditions, adapters and the precision of its weights."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from genloom.api.models import Model
from genloom.cli.console import Console
from genloom.errors import GenloomError
from genloom.program import quote_name
from genloom.settings import read_bounded_text

GivenValues = Annotated[
    list[str],
    Parameter(
        help="Value of a condition as NAME=VALUE: a number, class, text or array file (.npy). Repeatable; several "
        "values of one give outputs for each."
    ),
]
PromptsFile = Annotated[Path, Parameter(help="File of prompts, one per line.")]
ChatPrompts = Annotated[
    bool,
    Parameter(
        name="--chat",
        negative="--no-chat",
        help="Prompts as questions, in the model's chat template. [default: if tuned on conversations]",
    ),
]
Adapters = Annotated[
    list[str],
    Parameter(help="Adapter to add: a model tuned by LoRA on the same base; NAME=0.5 adds half. Repeatable."),
]
Precision = Annotated[
    str,
    Parameter(
        help="float32, bfloat16, int8, int4 or auto, which quantizes large transformers if that loses little; fewer "
        "bits are faster."
    ),
]


JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
MAX_PROMPT_BYTES = 64 << 20  # of a file of prompts, or of a question from standard input


def warn_of_full_adapters(model: Model, adapters: Sequence[str], console: Console) -> None:
    """Print a note where several adapters are added, each in full: they were not trained together."""
    names = list(dict.fromkeys([*([model.name] if model.folder.is_adapter else []), *adapters]))
    if len(names) > 1 and not any("=" in name for name in names):
        weighted = " ".join(f"--adapter {name}=0.5" for name in names)
        console.print_note(
            f"Note: {len(names)} adapters are added in full, which often garbles the text. With weights: {weighted}"
        )


def read_prompts(path: Path) -> tuple[str, ...]:
    """Return the lines of a prompt file that are not blank; raise if it cannot be read, or holds JSON by its name."""
    if path.suffix.lower() in JSON_SUFFIXES:
        raise GenloomError("cli.prompts_in_json", path=path, file=quote_name(str(path)))
    lines = re.split("\r\n|\n|\r", read_bounded_text(path, "these prompts", MAX_PROMPT_BYTES))
    return tuple(line for line in lines if line.strip())  # other separators of lines may stand in a prompt
