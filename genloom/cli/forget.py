"""`genloom forget`: what was learned from a rater, an output or a training document is taken back, with proof."""

from collections.abc import Generator
from contextlib import closing
from typing import Any

from genloom.cli.screen import Screen
from genloom.cli.shared import Shared
from genloom.learn.forgetting import Forgotten, forget
from genloom.learn.unseen import Unseen, documents_with, unsee
from genloom.rate.wording import counted
from genloom.store.ledger import open_ledger
from genloom.train.events import Stage, Stepped


def run(model: str, /, *, rater: str = "", item: str = "", ledger: str = "", shared: Shared = Shared()) -> None:
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
    workspace, screen = shared.open()
    if bool(rater) == bool(item):
        raise ValueError("Say what to forget, one of both: --rater NAME or --item ID.")
    asked = workspace, open_ledger(workspace.root, ledger), workspace.model(model).name
    document = bool(item) and documents_with(workspace, item)
    events: Generator[Any] = unsee(*asked, item) if document else forget(*asked, rater, item)
    last = None
    with closing(events), screen.progress("Learning", 1.0) as bar:
        for last in events:
            if isinstance(last, Stage):
                screen.note(last.text)
            if isinstance(last, Stepped):
                bar.update(last.step / last.steps)
    if isinstance(last, Unseen):
        _tell_unseen(last, screen)
    else:
        assert isinstance(last, Forgotten)
        _tell(last, screen)
    screen.result(vars(last))


def _tell(last: Forgotten, screen: Screen) -> None:
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


def _tell_unseen(last: Unseen, screen: Screen) -> None:
    screen.say(f"{last.made} was trained without the document and is in use. Another run, where it never was, gives")
    screen.say(f"the same weights: {last.proof}")
    screen.say(f"These saw it, or stand on one that did: {', '.join(last.tainted)}. They lie on disk still.")
    if last.in_use:
        screen.say(f"In use still: {', '.join(last.in_use)}. Forget it there too, or promote another version.")
    screen.say(f"Older versions of the data set hold it still, in {last.left}; remove them if it has to be gone.")
