"""`genloom card`: the card of a model or data set."""

from pathlib import Path
from typing import Literal

from genloom.api.cards import CardFormat, build_card
from genloom.cli.descriptions import describe_like
from genloom.cli.options.workspace import CommonOptions
from genloom.cli.output_path import resolve_output_file

_FILE_NAMES = {"md": "README.md", "croissant": "croissant.json", "html": "card.html", "json": "card.json"}


@describe_like(build_card)
def run(
    thing: str,
    /,
    *,
    to: CardFormat = "md",
    kind: Literal["model", "data"] | None = None,
    out: Path | None = None,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Show the card of a model or data set, filled from its lineage.

    Parameters
    ----------
    thing
        Name of a model or data set; NAME@DIGEST is a version of a data set.
    to
        Format: md (with the front matter of the Hugging Face hub), html, json, or croissant (of data sets).
    out
        File for the card. [default: standard output]
    """
    workspace, console = common.open()
    path = resolve_output_file(out, _FILE_NAMES[to]) if out is not None else None
    card = build_card(workspace, thing, kind="data" if to == "croissant" and not kind else kind or "")
    content = card.render(to)
    if path is not None:
        card.save(path, to)
        console.print_line(f"The card is in {path}")
    else:
        console.print_lines(content.splitlines())
    console.print_result({**card.to_json(), "file": None if path is None else str(path)})
