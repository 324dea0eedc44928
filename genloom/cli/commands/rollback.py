"""`genloom rollback`: the version of a model that was in use before is in use again."""

from genloom.cli.options.common import CommonOptions
from genloom.rate.promotion import rollback
from genloom.store.ledger import open_ledger


def run(model: str, /, *, reason: str = "", ledger: str = "", common: CommonOptions = CommonOptions()) -> None:
    """Put the version of a model back into use that was before the last promotion.

    Parameters
    ----------
    model
        A model, like notes.
    reason
        Why, for who reads the ledger later.
    ledger
        Where promotions are kept, like postgresql://name@host/database. [default: $GENLOOM_LEDGER or the workspace]
    """
    workspace, console = common.open()
    event = rollback(workspace, open_ledger(workspace.root, ledger), model, reason=reason)
    version, previous_version = event.body["version"], event.body["champion_before"]
    console.print_line(f"{model} means {model}/{version} again, and no longer {model}/{previous_version}.")
    console.print_result({"event": event.id, **event.body})
