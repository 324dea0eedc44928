"""Notes on an output that it does not show: what was read in the prompt, what was not, and why a text ends."""

from genloom.api.outputs import Output
from genloom.cli.console import Console
from genloom.text_format import format_count

ANSWER_NOTES = ("understood", "unread_tokens", "has_loop")  # fields of a record


def print_answer_notes(output: Output, console: Console, previous: Output | None = None) -> None:
    """Print the notes on an output, if there are any; not how its prompt was understood if `previous` has the same."""
    understood = output.record.get("understood")
    if understood and (previous is None or previous.record.get("understood") != understood):
        console.print_note(f"Understood: {understood}.")
    if num_unread := output.record.get("unread_tokens", 0):
        unread = f"its first {format_count(num_unread, 'token')} were not read"
        console.print_note(f"Note: the prompt of {output.id} is longer than the model reads: {unread}.")
    if output.record.get("written") == "":
        console.print_note(f"Note: {output.id} is empty: the model ended it at once.")
    if output.record.get("has_loop"):
        console.print_note(f"Note: {output.id} was ended because it repeated itself.")
