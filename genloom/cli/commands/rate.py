"""`genloom rate`: the rating of an output by a person, or by a program that says it is one."""

from collections import Counter
from typing import Annotated

from genloom.api.ratings import quote_output
from genloom.api.workspace import Workspace
from genloom.cli.console import Console
from genloom.cli.descriptions import describe_like
from genloom.cli.options.numbers import int_range
from genloom.cli.options.workspace import CommonOptions, LedgerURL, Rater
from genloom.errors import GenloomError
from genloom.rate.ratings import Winner
from genloom.store.ledger import Event
from genloom.text_format import format_count

_MAX_TEXT_CHARS = 40


@describe_like(Workspace.rate)
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
    pair
        Two outputs for the same prompt, to choose from.
    winner
        Better one of the pair: a is the first, b the second; bad if both are bad.
    machine
        Rating by a program instead of a person.
    check
        Machine check that compares all pairs of outputs of a model, e.g. length:max_length=1 or "regex:pattern=[!]".
        The ledger marks these ratings as those of a machine.
    """
    workspace, console = common.open(ledger, rater)
    ratings = (up, down, stars is not None, note is not None)
    if check is not None:
        if output is None or any(ratings) or pair is not None:
            raise GenloomError("cli.check_usage")
        _print_check(workspace.model(output).rate(check), check, console)
        return
    if pair is not None or winner is not None:
        if pair is None or winner is None or output is not None or any(ratings):
            raise GenloomError("cli.choice_usage")
        event = workspace.choose(*pair, winner, is_machine=machine, id=id)
    else:
        if up and down:
            raise GenloomError("api.rating_conflict")
        if not any(ratings):
            raise GenloomError("api.rating_missing")
        if output is None:
            raise GenloomError("cli.rating_output_missing")
        thumb = True if up else False if down else None
        event = workspace.rate(output, up=thumb, stars=stars, note=note or "", is_machine=machine, id=id)
    console.print_line(f"{_describe_event(event, workspace)} ({event.body['rater']}).")
    if event.kind == "choice" and len(set(event.body["sha256"])) == 1:
        console.print_line("Both outputs are identical, so nothing is learned from this choice.")
    console.print_hint(f"Recorded as {event.id}; to undo: genloom ratings withdraw {event.id}")
    console.print_result({"event": event.id, "at": event.at, "kind": event.kind, **event.body})


def _print_check(events: list[Event], check: str, console: Console) -> None:
    counts = Counter("ties" if event.body["winner"] == "tie" else "choices" for event in events)
    rater = events[0].body["rater"] if events else check
    if not events:
        console.print_note("Nothing new to rate: this check has rated all pairs that it compares.")
    console.print_line(
        f"{format_count(counts['choices'], 'choice')} and {format_count(counts['ties'], 'tie')}, by a machine: {rater}."
    )
    console.print_result({"rater": rater, "choices": counts["choices"], "ties": counts["ties"], "machine": True})


def _describe_event(event: Event, workspace: Workspace) -> str:
    body = event.body
    if event.kind == "choice":
        a, b = _quote_output(workspace, body["a"]), _quote_output(workspace, body["b"])
        outcomes = {
            "a": f"{a} is better than {b}",
            "b": f"{b} is better than {a}",
            "tie": f"{a} and {b} are equally good",
            "bad": f"{a} and {b} are both bad",
        }
        return outcomes[body["winner"]]
    output = _quote_output(workspace, body["output"])
    if body["scale"] == "note":
        return f"A note on {output}"
    if body["scale"] == "stars":
        return f"{output} has {body['value']} of 5 stars"
    return f"{output} is {'good' if body['value'] > 0 else 'bad'}"


def _quote_output(workspace: Workspace, output: str) -> str:
    """Return the id of an output with its first words."""
    text = quote_output(workspace.output(output).record, _MAX_TEXT_CHARS)
    return f'{output} ("{text}")' if text else output
