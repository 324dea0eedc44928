"""`genloom promote`: a person puts a version of a model into use."""

from typing import Annotated

from genloom.cli.options.common import CommonOptions
from genloom.cli.options.types import int_range
from genloom.rate.promotion import promote
from genloom.store.ledger import open_ledger


def run(
    model: str,
    /,
    *,
    to: Annotated[int, int_range(1, is_required=True)],
    reason: str = "",
    ledger: str = "",
    common: CommonOptions = CommonOptions(),
) -> None:
    """Put a version of a model into use; the ledger keeps that you decided it.

    Parameters
    ----------
    model
        A model, like notes. From now on that name means the version given.
    to
        The version, like 3.
    reason
        Why, for who reads the ledger later.
    ledger
        Where promotions are kept, like postgresql://name@host/database. [default: $GENLOOM_LEDGER or the workspace]
    """
    workspace, console = common.open()
    event = promote(workspace, open_ledger(workspace.root, ledger), model, to, "person", reason)
    previous_version = event.body["champion_before"]
    console.print_line(
        f"{model} now means {model}/{to}"
        + (f", and no longer {model}/{previous_version}." if previous_version else ".")
    )
    console.print_line(f"To go back: genloom rollback {model}")
    console.print_result({"event": event.id, **event.body})
