"""`genloom promote`: a person puts a version of a model into use."""

from typing import Annotated

from genloom.cli.numbers import whole
from genloom.cli.shared import Shared
from genloom.rate.promotion import promote
from genloom.store.ledger import open_ledger


def run(
    model: str,
    /,
    *,
    to: Annotated[int, whole(1, needed=True)],
    reason: str = "",
    ledger: str = "",
    shared: Shared = Shared(),
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
    workspace, screen = shared.open()
    event = promote(workspace, open_ledger(workspace.root, ledger), model, to, "person", reason)
    before = event.body["champion_before"]
    screen.say(f"{model} now means {model}/{to}" + (f", and no longer {model}/{before}." if before else "."))
    screen.say(f"To go back: genloom rollback {model}")
    screen.result({"event": event.id, **event.body})
