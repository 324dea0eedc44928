"""`genloom bias`: which groups of people a model may treat unfairly."""

from pathlib import Path
from typing import Annotated, Literal

from genloom.api.attribute_bias import AttributeBias
from genloom.api.bias import Bias
from genloom.api.models import Model
from genloom.cli.descriptions import describe_like
from genloom.cli.options.numbers import Seed, int_range
from genloom.cli.options.workspace import WorkOptions
from genloom.cli.output_path import resolve_report_folder
from genloom.errors import GenloomError
from genloom.store.files import require_writable


@describe_like(Model.bias)
def run(
    model: str,
    /,
    *,
    against: str | None = None,
    language: Literal["en", "de"] = "en",
    continuations: Annotated[int, int_range(0, 100)] = 2,
    seed: Seed = 0,
    groups: Path | None = None,
    out: Path | None = None,
    common: WorkOptions = WorkOptions(),
) -> None:
    """Measure which groups of people a model may treat unfairly, by minimal pairs and the regard of its texts.

    Writes a JSON report, which the model's card takes over. Learning from ratings measures the change of a shorter set
    of pairs as a safeguard; it is in each receipt. For images, --groups names prompts, groups and attributes with
    examples; the report tells which group's outputs have which attribute.

    Parameters
    ----------
    model
        Model name, e.g. smollm2 or notes/2.
    continuations
        Number of texts for each beginning, whose regard is counted; with --groups, outputs for each prompt and group.
    groups
        File of prompts, groups and attributes with example files, for models of images (docs/trust.md shows one).
    out
        Folder for the report. [default: reports/<model> in the workspace]
    """
    workspace, console = common.open()
    out_folder = None if out is None else resolve_report_folder(out)
    if out is None:  # else it would be found after the work
        require_writable(workspace.folder)
    chosen = workspace.model(model)
    if groups is not None:
        _require_no_pairs(against, language)
        found: Bias | AttributeBias = chosen.attribute_bias(groups, count=continuations, seed=seed)
    else:
        found = chosen.bias(against=against, language=language, continuations=continuations, seed=seed)
    path = found.save(out_folder)
    console.print_lines(found.lines)
    console.print_line(f"Report in {path}")
    console.print_result({**found.to_json(), "file": str(path)})


def _require_no_pairs(against: str | None, language: str) -> None:
    """Raise GenloomError for options that are about sentences."""
    if against is not None or language != "en":
        raise GenloomError("cli.groups_alone")
