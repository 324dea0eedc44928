"""`genloom forget`: what was learned from a rater, an output or a training document is taken back, with proof."""

from collections.abc import Generator
from contextlib import closing
from typing import Any

from genloom.cli.console import Console
from genloom.cli.options.common import CommonOptions
from genloom.learn.unlearn_document import UnlearnDocumentResult, is_known_document, unlearn_document
from genloom.learn.unlearn_ratings import UnlearnRatingsResult, unlearn_ratings
from genloom.rate.report.wording import format_count
from genloom.store.ledger import open_ledger
from genloom.train.events import Status, StepMetrics


def run(
    model: str, /, *, rater: str = "", item: str = "", ledger: str = "", common: CommonOptions = CommonOptions()
) -> None:
    """Take back what was learned from a rater, an output or a document, and prove that nothing is left of it.

    Of ratings: they are withdrawn, the version from before their first use is put back, and it learns anew from all
    others. Of a document: the model is trained again on the data without it, and put into use. The proof: a second run,
    where they never were, gives the same weights, to the last bit.

    Parameters
    ----------
    model
        A model, like notes.
    rater
        Whose ratings.
    item
        Ratings of which output: its id, or the SHA-256 of its file. Or a training document: its id in the data set.
    ledger
        Where ratings are kept, like postgresql://name@host/database. [default: $GENLOOM_LEDGER or the workspace]
    """
    workspace, console = common.open()
    if bool(rater) == bool(item):
        raise ValueError("Say what to forget, one of both: --rater NAME or --item ID.")
    target = workspace, open_ledger(workspace.root, ledger), workspace.get_model(model).name
    is_document = bool(item) and is_known_document(workspace, item)
    events: Generator[Any] = unlearn_document(*target, item) if is_document else unlearn_ratings(*target, rater, item)
    last_event = None
    with closing(events), console.show_progress("Learning", 1.0) as bar:
        for last_event in events:
            if isinstance(last_event, Status):
                console.print_note(last_event.text)
            if isinstance(last_event, StepMetrics):
                bar.update(last_event.step / last_event.steps)
    if isinstance(last_event, UnlearnDocumentResult):
        _print_document_result(last_event, console)
    else:
        assert isinstance(last_event, UnlearnRatingsResult)
        _print_ratings_result(last_event, console)
    console.print_result(vars(last_event))


def _print_ratings_result(result: UnlearnRatingsResult, console: Console) -> None:
    console.print_line(
        f"Withdrawn: {format_count(len(result.withdrawn_events), 'entry', 'entries')} of the ledger. "
        f"{result.base_version} stands before their first use."
    )
    if result.tainted_versions:
        console.print_line(
            f"Learned from them, and not in use any more: {', '.join(result.tainted_versions)}. They lie on disk still."
        )
    if result.new_version:
        console.print_line(
            f"{result.new_version} learned from all other ratings. A run that never saw those gives the same weights:"
        )
        console.print_line(f"  {result.proof}")
        name, _, version = result.new_version.rpartition("/")
        console.print_line(f"To put it into use: genloom promote {name} --to {version}")


def _print_document_result(result: UnlearnDocumentResult, console: Console) -> None:
    console.print_line(
        f"{result.new_version} was trained without the document and is in use. Another run, where it never was, gives"
    )
    console.print_line(f"the same weights: {result.proof}")
    console.print_line(
        f"These saw it, or stand on one that did: {', '.join(result.tainted_versions)}. They lie on disk still."
    )
    if result.active_tainted_versions:
        console.print_line(
            f"In use still: {', '.join(result.active_tainted_versions)}. Forget it there too, or promote another version."
        )
    console.print_line(
        f"Older versions of the data set hold it still, in {result.old_data_folder}; remove them if it has to be gone."
    )
