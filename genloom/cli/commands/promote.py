"""`genloom promote`: a person activates a version of a model."""

from genloom.cli.options.numbers import Count
from genloom.cli.options.workspace import CommonOptions, LedgerURL, Reason
from genloom.program import quote_name


def run(
    model: str,
    /,
    *,
    to: Count,
    allow_withdrawn: bool = False,
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
    allow_withdrawn
        Also a version that was trained on withdrawn ratings or documents.
    """
    workspace, console = common.open(ledger)
    head = workspace.ledger.get_head()
    event = workspace.promote(model, to, reason, allow_withdrawn=allow_withdrawn)
    previous_version = event.body["champion_before"]
    if head and event.seq <= head.seq:  # nothing was recorded
        console.print_line(f"{model} means {model}/{to} already.")
    else:
        instead = f" instead of {model}/{previous_version}" if previous_version else ""
        console.print_line(f"{model} now means {model}/{to}{instead}.")
        if previous_version:
            console.print_hint(f"To undo: genloom rollback {quote_name(model)}")
    console.print_result({"event": event.id, **event.body})
