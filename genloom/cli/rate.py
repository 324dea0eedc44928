"""`genloom rate`: what a person, or a program that says it is one, thinks of an output."""

import getpass
from collections import Counter
from typing import Annotated

from genloom.cli.numbers import whole
from genloom.cli.screen import Screen
from genloom.cli.shared import Shared
from genloom.rate.machine import rate_pairs
from genloom.rate.ratings import Scale, Winner, choose, rate
from genloom.rate.wording import counted
from genloom.store.ledger import Event, Ledger, open_ledger
from genloom.store.workspace import Workspace


def run(
    output: str | None = None,
    /,
    *,
    up: bool = False,
    down: bool = False,
    stars: Annotated[int, whole(1, 5)] | None = None,
    note: str | None = None,
    pair: tuple[str, str] | None = None,
    winner: Winner | None = None,
    rater: str | None = None,
    machine: bool = False,
    judge: str | None = None,
    id: str = "",
    ledger: str = "",
    shared: Shared = Shared(),
) -> None:
    """Say what you think of an output, or which of two is better; the model can learn from it.

    Parameters
    ----------
    output
        The id of an output, as genloom generate shows it; last is the newest. With --judge, a model.
    up
        It is good.
    down
        It is bad.
    stars
        How good it is, from 1 to 5.
    note
        What you want to remember about it. Nothing is learned from a note.
    pair
        Two outputs for the same prompt, to choose from.
    winner
        Which of the pair is better: the first is a, the second b; bad if neither is any good.
    rater
        Who says so. [default: your name on this machine]
    machine
        The rater is a program.
    judge
        A machine check that chooses between every two outputs of the model for one prompt, like length:most=1 or
        "regex:pattern=[!]"; the ledger says that it is a machine.
    id
        An id of your own for this rating: with it, the same command given again is one rating.
    ledger
        Where ratings are kept, like postgresql://name@host/database. [default: $GENLOOM_LEDGER or the workspace]
    """
    workspace, screen = shared.open()
    kept = open_ledger(workspace.root, ledger)
    if judge is not None:
        if output is None or up or down or stars is not None or note is not None or pair is not None:
            raise ValueError("A machine rates the outputs of a model: genloom rate MODEL --judge length:most=1")
        _by_machine(workspace, kept, output, judge, screen)
        return
    who = rater or own_name()
    if pair is not None or winner is not None:
        if pair is None or winner is None or output is not None or up or down or stars is not None or note is not None:
            raise ValueError("A choice is made with --pair A B --winner a (or b, tie, bad) and nothing else.")
        a, b = (_named(workspace, each) for each in pair)
        event = choose(workspace, kept, a, b, winner, who, machine, id)
    else:
        scale, value = _value(up, down, stars, note)
        if output is None:
            raise ValueError("Which output? Give its id: genloom rate ID --up (genloom list outputs shows them)")
        event = rate(workspace, kept, _named(workspace, output), who, scale, value, note or "", machine, id)
    screen.say(f"{_said(event)}, says {who}.")
    screen.say(f"Kept as {event.id}; to take it back: genloom ratings withdraw {event.id}")
    screen.result({"event": event.id, "at": event.at, "kind": event.kind, **event.body})


def _by_machine(workspace: Workspace, kept: Ledger, model: str, judge: str, screen: Screen) -> None:
    events = rate_pairs(workspace, kept, workspace.model(model).name, judge)
    counts = Counter("ties" if event.body["winner"] == "tie" else "choices" for event in events)
    who = events[0].body["rater"] if events else judge
    screen.say(f"{counted(counts['choices'], 'choice')} and {counted(counts['ties'], 'tie')}, by a machine: {who}.")
    screen.result({"rater": who, "choices": counts["choices"], "ties": counts["ties"], "machine": True})


def own_name() -> str:
    """The name of who sits at this machine."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have none
        raise ValueError("This machine does not know your name. Give it: --rater NAME") from None


def _value(up: bool, down: bool, stars: int | None, note: str | None) -> tuple[Scale, int]:
    if up + down + (stars is not None) > 1:
        raise ValueError("Give one of --up, --down and --stars.")
    if up or down:
        return "thumb", 1 if up else -1
    if stars is not None:
        return "stars", stars
    if note is not None:
        return "note", 0
    raise ValueError('What do you think of it? Give --up, --down, --stars 4 or --note "too long".')


def _named(workspace: Workspace, output: str) -> str:
    if output != "last":
        return output
    known = workspace.outputs()
    if not known:
        raise ValueError("There is no output yet. Make one: genloom generate NAME")
    return known[-1]


def _said(event: Event) -> str:
    said = event.body
    if event.kind == "choice":
        outcomes = {
            "a": f"{said['a']} is better than {said['b']}",
            "b": f"{said['b']} is better than {said['a']}",
            "tie": f"{said['a']} and {said['b']} are equally good",
            "bad": f"Neither {said['a']} nor {said['b']} is any good",
        }
        return outcomes[said["winner"]]
    if said["scale"] == "note":
        return f"A note on {said['output']}"
    if said["scale"] == "stars":
        return f"{said['output']} has {said['value']} of 5 stars"
    return f"{said['output']} is {'good' if said['value'] > 0 else 'bad'}"
