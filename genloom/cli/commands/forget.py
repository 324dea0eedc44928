"""`genloom forget`: unlearn a rater, an output or a training document, with proof."""

from collections import deque
from collections.abc import Generator
from contextlib import closing
from typing import Any

from genloom.api.progress import show_events
from genloom.cli.console import Console
from genloom.cli.options.common import CommonOptions, LedgerURL
from genloom.learn.unlearn_document import UnlearnDocumentResult
from genloom.learn.unlearn_ratings import UnlearnRatingsResult
from genloom.text_format import format_count


def run(
    model: str, /, *, rater: str = "", item: str = "", ledger: LedgerURL = "", common: CommonOptions = CommonOptions()
) -> None:
    """Unlearn a rater, an output or a document, and prove that nothing of it is left.

    Forgetting ratings withdraws them, restores the version from before they were first used, and retrains on the rest.
    Forgetting a document retrains the model on the data without it, and activates the result. Genloom proves it by
    training a second time without them and comparing the weights bit for bit.

    Parameters
    ----------
    model
        Model name, e.g. notes.
    rater
        Rater whose ratings are forgotten.
    item
        Output whose ratings are forgotten (id, or SHA-256 of its file), or training document (id in the data set).
    """
    workspace, console = common.open(ledger)
    events: Generator[Any] = workspace.model(model).iter_forget(rater=rater, item=item)
    with closing(events), console.show_progress("Learning", 1.0) as bar:
        (result,) = deque(show_events(events, bar, console.print_note), maxlen=1)
    if isinstance(result, UnlearnDocumentResult):
        _print_document_result(result, console)
    else:
        assert isinstance(result, UnlearnRatingsResult)
        _print_ratings_result(result, console)
    console.print_result(vars(result))


def _print_ratings_result(result: UnlearnRatingsResult, console: Console) -> None:
    console.print_line(
        f"Withdrawn: {format_count(len(result.withdrawn_events), 'entry', 'entries')} of the ledger. "
        f"The version before their first use is {result.base_version}."
    )
    if result.tainted_versions:
        console.print_line(
            f"Trained on them, and now inactive: {', '.join(result.tainted_versions)}. They are still on disk."
        )
    if result.new_version:
        console.print_line(f"{result.new_version} was trained on all other ratings.")
        console.print_line(f"A second run without the forgotten ones has equal weights: {result.proof}")
        name, _, version = result.new_version.rpartition("/")
        console.print_line(f"To activate it: genloom promote {name} --to {version}")


def _print_document_result(result: UnlearnDocumentResult, console: Console) -> None:
    console.print_line(f"{result.new_version} was trained without the document and is active.")
    console.print_line(f"A second run without the document has equal weights: {result.proof}")
    console.print_line(
        f"Trained on it, directly or through their base: {', '.join(result.tainted_versions)}. They are still on disk."
    )
    if result.active_tainted_versions:
        active_refs = ", ".join(result.active_tainted_versions)
        console.print_line(f"Still active: {active_refs}. Forget it there too, or promote another version.")
    console.print_line(
        f"Older versions of the data set still contain it, in {result.old_data_folder}; remove them if it must be gone."
    )
