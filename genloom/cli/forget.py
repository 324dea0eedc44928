"""`genloom forget`: what was learned from a rater or an output is taken back, with proof."""

from contextlib import closing

from genloom.cli.shared import Shared
from genloom.learn.forgetting import Forgotten, forget
from genloom.rate.wording import counted
from genloom.store.ledger import open_ledger
from genloom.train.events import Stage, Stepped


def run(model: str, /, *, rater: str = "", item: str = "", ledger: str = "", shared: Shared = Shared()) -> None:
    """Take back what was learned from a rater or an output, and prove that nothing of it is left.

    The ratings are withdrawn, the version from before their first use is put back, and it learns anew from all others.
    The proof: a second run, from a ledger that never held them, gives the same weights, to the last bit.

    Parameters
    ----------
    model
        A model, like notes.
    rater
        Whose ratings.
    item
        Ratings of which output: its id, or the SHA-256 of its file.
    ledger
        Where ratings are kept, like postgresql://name@host/database. [default: $GENLOOM_LEDGER or the workspace]
    """
    workspace, screen = shared.open()
    if bool(rater) == bool(item):
        raise ValueError("Say what to forget, one of both: --rater NAME or --item ID.")
    events = forget(workspace, open_ledger(workspace.root, ledger), workspace.model(model).name, rater, item)
    last = None
    with closing(events), screen.progress("Learning", 1.0) as bar:
        for last in events:
            if isinstance(last, Stage):
                screen.note(last.text)
            if isinstance(last, Stepped):
                bar.update(last.step / last.steps)
    assert isinstance(last, Forgotten)
    screen.say(
        f"Withdrawn: {counted(len(last.withdrawn), 'entry', 'entries')} of the ledger. "
        f"{last.before} stands before their first use."
    )
    if last.tainted:
        screen.say(f"Learned from them, and not in use any more: {', '.join(last.tainted)}. They lie on disk still.")
    if last.made:
        screen.say(f"{last.made} learned from all other ratings. A run that never saw those gives the same weights:")
        screen.say(f"  {last.proof}")
        name, _, version = last.made.rpartition("/")
        screen.say(f"To put it into use: genloom promote {name} --to {version}")
    screen.result(vars(last))
