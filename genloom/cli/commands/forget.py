"""`genloom forget`: unlearn a rater, an output or a training document, with proof."""

from collections import deque
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from genloom.api.models import Model
from genloom.api.progress import show_events
from genloom.api.workspace import Workspace
from genloom.cli.console import Console
from genloom.cli.descriptions import describe_like
from genloom.cli.options.workspace import LedgerURL, WorkOptions
from genloom.learn.unlearn_document import UnlearnDocumentResult
from genloom.learn.unlearn_ratings import UnlearnRatingsResult
from genloom.program import quote_name
from genloom.text_format import format_count


@describe_like(Model.forget)
def run(
    model: str, /, *, rater: str = "", item: str = "", ledger: LedgerURL = "", common: WorkOptions = WorkOptions()
) -> None:
    """Unlearn a rater, an output or a document, and prove that nothing of it is left.

    Forgetting ratings withdraws them, restores the version from before they were first used, and retrains on the rest.
    Forgetting a document retrains the model on the data without it, and activates the result. Genloom proves it by
    training a second time without them and comparing the weights bit for bit.

    Parameters
    ----------
    model
        Model name, e.g. notes.
    """
    workspace, console = common.open(ledger)
    events: Generator[Any] = workspace.model(model).iter_forget(rater=rater, item=item)
    with closing(events), console.show_progress("Learning", 1.0) as bar:
        (result,) = deque(show_events(events, bar, console.print_note), maxlen=1)
    if isinstance(result, UnlearnDocumentResult):
        _print_document_result(result, workspace, console)
    else:
        assert isinstance(result, UnlearnRatingsResult)
        _print_ratings_result(result, workspace, console)
    console.print_result(vars(result))


def _print_ratings_result(result: UnlearnRatingsResult, workspace: Workspace, console: Console) -> None:
    console.print_line(
        f"Withdrawn: {format_count(len(result.withdrawn_events), 'entry', 'entries')} of the ledger. "
        f"The version without them is {result.base_version}."
    )
    inactive_versions = [each for each in result.tainted_versions if each not in result.active_tainted_versions]
    if not result.tainted_versions:
        console.print_line("No version was trained on them.")
    if inactive_versions:
        console.print_hint(
            f"Trained on them, and not in use: {', '.join(inactive_versions)}. "
            f"{_describe_rest(inactive_versions, workspace)}"
        )
    for version in result.active_tainted_versions:
        console.print_line(
            f"Trained on them, and in use: {version}. Forget them there too, or promote another version."
        )
    if result.new_version:
        console.print_line(f"{result.new_version} was trained on all other ratings.")
        console.print_line(f"A second run without the forgotten ones has equal weights: {result.proof}")
        name, _, version = result.new_version.rpartition("/")
        console.print_hint(f"To activate it: genloom promote {quote_name(name)} --to {version}")


def _print_document_result(result: UnlearnDocumentResult, workspace: Workspace, console: Console) -> None:
    console.print_line(f"{result.new_version} was trained without the document and is active.")
    console.print_line(f"A second run without the document has equal weights: {result.proof}")
    console.print_hint(
        f"Trained on it, directly or through their base: {', '.join(result.tainted_versions)}. "
        f"{_describe_rest(result.tainted_versions, workspace)}"
    )
    if result.active_tainted_versions:
        active_refs = ", ".join(result.active_tainted_versions)
        console.print_line(f"Still active: {active_refs}. Forget it there too, or promote another version.")
    data_folder = Path(result.old_data_folder)
    old_digests = sorted(path.name for path in data_folder.iterdir() if path.name != result.data_digest)
    old_names = [quote_name(f"{data_folder.name}/{digest[:12]}") for digest in old_digests]
    console.print_line("Older versions of the data set still contain it. To delete them, if it must be gone:")
    console.print_hint(f"  genloom remove data {' '.join(old_names)} --force && genloom remove --empty-bin")


def _describe_rest(refs: Sequence[str], workspace: Workspace) -> str:
    """Return which versions are still on the disk, and how to delete them."""
    stored = [model.ref for model in workspace.models if model.ref in refs]
    removed = [entry.name for entry in workspace.bin if entry.has_version(refs)]
    if not stored + removed:
        return "They were deleted."
    commands = [f"genloom remove models {' '.join(map(quote_name, stored))} --force"] if stored else []
    commands.append("genloom remove --empty-bin")
    places = [*stored, *(f"{name} (in the bin)" for name in removed)]
    return f"Still on disk: {', '.join(places)}. To delete: {' && '.join(commands)}"
