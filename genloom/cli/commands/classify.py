"""`genloom classify`: a label for each text of a table."""

from pathlib import Path
from typing import TYPE_CHECKING

from genloom.api.classification import classify
from genloom.cli.console import Console
from genloom.cli.descriptions import describe_like
from genloom.cli.options.workspace import WorkOptions
from genloom.cli.output_path import resolve_output_file
from genloom.text_format import format_count

if TYPE_CHECKING:
    from genloom.api.classification import Classification

_NUM_SHOWN = 10  # texts without --out
_SHOWN_CHARS = 60


@describe_like(classify)
def run(
    texts: Path,
    /,
    *,
    labels: list[str] | None = None,
    method: str = "",
    train: Path | None = None,
    name: str = "",
    classifier: str = "",
    column: str = "",
    label_column: str = "",
    model: str = "",
    out: Path | None = None,
    common: WorkOptions = WorkOptions(),
) -> None:
    """Give each text of a table one of your labels, without training or by a trained classifier.

    A classifier that was trained is kept in the workspace, with its data and quality; --classifier uses it again.

    Parameters
    ----------
    texts
        Table of texts (.csv, .tsv or .jsonl), a row each.
    labels
        Labels to choose among, with commas between them: spam,ham.
    train
        Table of labelled examples. The classifier is kept.
    name
        Name of the classifier that --train makes. [default: that of the file]
    out
        File for the table with the columns predicted_label and confidence. [default: a few rows are printed]
    """
    workspace, console = common.open()
    target = resolve_output_file(out, f"{texts.stem}-labelled.csv") if out is not None else None
    found = workspace.classify(
        texts,
        labels or (),
        method=method,
        train=train,
        name=name,
        classifier=classifier,
        column=column,
        label_column=label_column,
        model=model,
        progress=not common.json,
    )
    if target is not None:
        found.save(target)
    print_classification(found, console, target)
    console.print_result({**found.to_record(), **({"out": str(target)} if target else {})})


def print_classification(found: "Classification", console: Console, target: Path | None) -> None:
    """Print the quality of a new classifier, the labels of the first texts, the counts and the notes."""
    if found.classifier is not None:
        card = found.classifier.card
        accuracy, f1 = (card["cross_validation"][each] for each in ("accuracy", "f1"))
        console.print_line(
            f"Classifier {found.classifier.name} ({found.method}), by cross-validation on "
            f"{format_count(sum(card['examples'].values()), 'example')}: accuracy {accuracy['mean']:.1%} "
            f"[{accuracy['low']:.1%}, {accuracy['high']:.1%}], F1 {f1['mean']:.3f}"
        )
    for row in found.rows[: _NUM_SHOWN if target is None else 0]:
        text = " ".join(row.text.split())
        shown = text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"
        console.print_line(f"{row.label:>12}  {row.confidence:4.0%}  {shown}")
    if target is None and len(found.rows) > _NUM_SHOWN:
        console.print_line(f"and {format_count(len(found.rows) - _NUM_SHOWN, 'row')} more; all of them: --out FILE.csv")
    counts = ", ".join(f"{label} {count:,}" for label, count in found.counts.items())
    where = f"; written to {target}" if target else ""
    console.print_line(f"{format_count(len(found.rows), 'text')}: {counts}{where}")
    for note in found.notes:
        console.print_note(f"Note: {note}.")
