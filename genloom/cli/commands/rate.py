"""`genloom rate`: the rating of an output by a person, or by a program that says it is one."""

import getpass
from collections import Counter
from typing import Annotated

from genloom.cli.console import Console
from genloom.cli.options.common import CommonOptions, LedgerURL, Rater
from genloom.cli.options.types import int_range
from genloom.errors import GenloomError
from genloom.rate.auto_rater import rate_pairs
from genloom.rate.ratings import Scale, Winner, record_choice, record_rating
from genloom.store.ledger import Event, Ledger, open_ledger
from genloom.store.workspace import Workspace
from genloom.text_format import format_count


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
    rater: Rater | None = None,
    machine: bool = False,
    check: str | None = None,
    id: str = "",
    ledger: LedgerURL = "",
    common: CommonOptions = CommonOptions(),
) -> None:
    """Rate an output, or choose the better of two; the model can learn from it.

    Parameters
    ----------
    output
        Output id, as printed by genloom generate; last is the newest. With --check, a model.
    up
        Thumbs up.
    down
        Thumbs down.
    stars
        Rating from 1 to 5.
    note
        Note for yourself. Nothing is learned from a note.
    pair
        Two outputs for the same prompt, to choose from.
    winner
        Better one of the pair: a is the first, b the second; bad if both are bad.
    machine
        Whether the rater is a program.
    check
        Machine check that compares all pairs of outputs of a model, e.g. length:max_length=1 or "regex:pattern=[!]".
        The ledger marks these ratings as those of a machine.
    id
        Your own id of this rating; the same command with the same id records one rating.
    """
    workspace, console = common.open()
    ledger_store = open_ledger(workspace.root, ledger)
    if check is not None:
        if output is None or up or down or stars is not None or note is not None or pair is not None:
            raise GenloomError("cli.check_usage")
        _rate_by_check(workspace, ledger_store, output, check, console)
        return
    rater_name = rater or current_user()
    if pair is not None or winner is not None:
        if pair is None or winner is None or output is not None or up or down or stars is not None or note is not None:
            raise GenloomError("cli.choice_usage")
        a, b = (_resolve_output(workspace, output_name) for output_name in pair)
        event = record_choice(workspace, ledger_store, a, b, winner, rater_name, machine, id)
    else:
        scale, value = _parse_rating(up, down, stars, note)
        if output is None:
            raise GenloomError("cli.rating_output_missing")
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
    console.print_line(f"{_describe_event(event)} ({rater_name}).")
    console.print_line(f"Recorded as {event.id}; to undo: genloom ratings withdraw {event.id}")
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
    """Return the user name on this machine."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the user of a container may have no name
        raise GenloomError("cli.unknown_user") from None


def _parse_rating(up: bool, down: bool, stars: int | None, note: str | None) -> tuple[Scale, int]:
    if up + down + (stars is not None) > 1:
        raise GenloomError("cli.rating_conflict")
    if up or down:
        return "thumb", 1 if up else -1
    if stars is not None:
        return "stars", stars
    if note is not None:
        return "note", 0
    raise GenloomError("cli.rating_missing")


def _resolve_output(workspace: Workspace, output: str) -> str:
    if output != "last":
        return output
    output_ids = workspace.list_outputs()
    if not output_ids:
        raise GenloomError("cli.no_outputs")
    return output_ids[-1]


def _describe_event(event: Event) -> str:
    body = event.body
    if event.kind == "choice":
        outcomes = {
            "a": f"{body['a']} is better than {body['b']}",
            "b": f"{body['b']} is better than {body['a']}",
            "tie": f"{body['a']} and {body['b']} are equally good",
            "bad": f"{body['a']} and {body['b']} are both bad",
        }
        return outcomes[body["winner"]]
    if body["scale"] == "note":
        return f"A note on {body['output']}"
    if body["scale"] == "stars":
        return f"{body['output']} has {body['value']} of 5 stars"
    return f"{body['output']} is {'good' if body['value'] > 0 else 'bad'}"
