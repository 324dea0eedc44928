"""`genloom rate`: what a person, or a program that says it is one, thinks of an output."""

import getpass
from collections import Counter
from typing import Annotated

from genloom.cli.console import Console
from genloom.cli.options.common import CommonOptions
from genloom.cli.options.types import int_range
from genloom.rate.auto_rater import rate_pairs
from genloom.rate.ratings import Scale, Winner, record_choice, record_rating
from genloom.rate.report.wording import format_count
from genloom.store.ledger import Event, Ledger, open_ledger
from genloom.store.workspace import Workspace


def run(
    output: str | None = None,
    /,
    *,
    up: bool = False,
    down: bool = False,
    stars: Annotated[int, int_range(1, 5)] | None = None,
    note: str | None = None,
    pair: tuple[str, str] | None = None,
    winner: Winner | None = None,
    rater: str | None = None,
    machine: bool = False,
    check: str | None = None,
    id: str = "",
    ledger: str = "",
    common: CommonOptions = CommonOptions(),
) -> None:
    """Say what you think of an output, or which of two is better; the model can learn from it.

    Parameters
    ----------
    output
        The id of an output, as genloom generate shows it; last is the newest. With --check, a model.
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
    check
        A machine check that chooses between every two outputs of the model for one prompt, like length:max_length=1 or
        "regex:pattern=[!]"; the ledger says that it is a machine.
    id
        An id of your own for this rating: with it, the same command given again is one rating.
    ledger
        Where ratings are kept, like postgresql://name@host/database. [default: $GENLOOM_LEDGER or the workspace]
    """
    workspace, console = common.open()
    ledger_store = open_ledger(workspace.root, ledger)
    if check is not None:
        if output is None or up or down or stars is not None or note is not None or pair is not None:
            raise ValueError("A machine rates the outputs of a model: genloom rate MODEL --check length:max_length=1")
        _rate_by_check(workspace, ledger_store, output, check, console)
        return
    rater_name = rater or current_user()
    if pair is not None or winner is not None:
        if pair is None or winner is None or output is not None or up or down or stars is not None or note is not None:
            raise ValueError("A choice is made with --pair A B --winner a (or b, tie, bad) and nothing else.")
        a, b = (_resolve_output(workspace, output_name) for output_name in pair)
        event = record_choice(workspace, ledger_store, a, b, winner, rater_name, machine, id)
    else:
        scale, value = _parse_rating(up, down, stars, note)
        if output is None:
            raise ValueError("Which output? Give its id: genloom rate ID --up (genloom list outputs shows them)")
        event = record_rating(
            workspace,
            ledger_store,
            _resolve_output(workspace, output),
            rater_name,
            scale,
            value,
            note or "",
            machine,
            id,
        )
    console.print_line(f"{_describe_event(event)}, says {rater_name}.")
    console.print_line(f"Kept as {event.id}; to take it back: genloom ratings withdraw {event.id}")
    console.print_result({"event": event.id, "at": event.at, "kind": event.kind, **event.body})


def _rate_by_check(workspace: Workspace, ledger: Ledger, model: str, check: str, console: Console) -> None:
    events = rate_pairs(workspace, ledger, workspace.get_model(model).name, check)
    counts = Counter("ties" if event.body["winner"] == "tie" else "choices" for event in events)
    rater = events[0].body["rater"] if events else check
    console.print_line(
        f"{format_count(counts['choices'], 'choice')} and {format_count(counts['ties'], 'tie')}, by a machine: {rater}."
    )
    console.print_result({"rater": rater, "choices": counts["choices"], "ties": counts["ties"], "machine": True})


def current_user() -> str:
    """The name of who sits at this machine."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have none
        raise ValueError("This machine does not know your name. Give it: --rater NAME") from None


def _parse_rating(up: bool, down: bool, stars: int | None, note: str | None) -> tuple[Scale, int]:
    if up + down + (stars is not None) > 1:
        raise ValueError("Give one of --up, --down and --stars.")
    if up or down:
        return "thumb", 1 if up else -1
    if stars is not None:
        return "stars", stars
    if note is not None:
        return "note", 0
    raise ValueError('What do you think of it? Give --up, --down, --stars 4 or --note "too long".')


def _resolve_output(workspace: Workspace, output: str) -> str:
    if output != "last":
        return output
    output_ids = workspace.list_outputs()
    if not output_ids:
        raise ValueError("There is no output yet. Make one: genloom generate NAME")
    return output_ids[-1]


def _describe_event(event: Event) -> str:
    body = event.body
    if event.kind == "choice":
        outcomes = {
            "a": f"{body['a']} is better than {body['b']}",
            "b": f"{body['b']} is better than {body['a']}",
            "tie": f"{body['a']} and {body['b']} are equally good",
            "bad": f"Neither {body['a']} nor {body['b']} is any good",
        }
        return outcomes[body["winner"]]
    if body["scale"] == "note":
        return f"A note on {body['output']}"
    if body["scale"] == "stars":
        return f"{body['output']} has {body['value']} of 5 stars"
    return f"{body['output']} is {'good' if body['value'] > 0 else 'bad'}"
