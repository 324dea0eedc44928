"""`genloom rollback`: the previously active version of a model is active again."""

from genloom.cli.options.workspace import CommonOptions, LedgerURL, Reason


def run(model: str, /, *, reason: Reason = "", ledger: LedgerURL = "", common: CommonOptions = CommonOptions()) -> None:
    """Reactivate the version of a model that was active before the last promotion.

    Parameters
    ----------
    model
        Model name, e.g. notes.
    """
    workspace, console = common.open(ledger)
    event = workspace.rollback(model, reason)
    version, previous_version = event.body["version"], event.body["champion_before"]
    console.print_line(f"{model} means {model}/{version} again, instead of {model}/{previous_version}.")
    console.print_result({"event": event.id, **event.body})
