"""`genloom promote`: a person activates a version of a model."""

from typing import Annotated

from genloom.cli.options.common import CommonOptions, LedgerURL, Reason
from genloom.cli.options.types import int_range


def run(
    model: str,
    /,
    *,
    to: Annotated[int, int_range(1)],
    reason: Reason = "",
    ledger: LedgerURL = "",
    common: CommonOptions = CommonOptions(),
) -> None:
    """Activate a version of a model; the ledger records the decision.

    Parameters
    ----------
    model
        Model name, e.g. notes; from now on it means this version.
    to
        Version number, e.g. 3.
    """
    workspace, console = common.open(ledger)
    event = workspace.promote(model, to, reason)
    previous_version = event.body["champion_before"]
    console.print_line(
        f"{model} now means {model}/{to}" + (f" instead of {model}/{previous_version}." if previous_version else ".")
    )
    console.print_line(f"To undo: genloom rollback {model}")
    console.print_result({"event": event.id, **event.body})
