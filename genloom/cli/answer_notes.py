"""Notes on an output that it does not show: what was read in the prompt, what was not, and why a text ends."""

from typing import TYPE_CHECKING

from genloom.api.outputs import Output
from genloom.cli.console import Console
from genloom.text_format import format_count

if TYPE_CHECKING:  # which needs torch
    from genloom.generate.selection import SelectionReport

# Fields of a record
ANSWER_NOTES = (
    "understood",
    "unread_tokens",
    "unread_words",
    "unknown_words",
    "has_loop",
    "is_incomplete",
    "judgement",
    "knowledge",
)


def print_answer_notes(output: Output, console: Console, previous: Output | None = None) -> None:
    """Print the notes on an output, if there are any; not how its prompt was understood if `previous` has the same."""
    understood = output.record.get("understood")
    note = f"Understood: {understood}."
    is_new = previous is None or previous.record.get("understood") != understood
    if understood and is_new and note not in console.printed_notes:
        console.print_note(note)
    if num_unread := output.record.get("unread_tokens", 0):
        unread = f"its first {format_count(num_unread, 'token')} were not read"
        console.print_note(f"Note: the prompt of {output.id} is longer than the model reads: {unread}.")
    if num_unread := output.record.get("unread_words", 0):
        unread = f"its last {format_count(num_unread, 'word')} were not read"
        console.print_note(f"Note: the prompt of {output.id} is longer than the model reads: {unread}.")
    if words := output.record.get("unknown_words"):
        listed = ", ".join(words)
        console.print_note_once(f"Note: no caption that {output.model} learned from has: {listed}. Try other words.")
    if output.record.get("written") == "":
        console.print_note(f"Note: {output.id} is empty: the model ended it at once.")
    if (output.record.get("judgement") or {}).get("is_met") is False:
        score = output.record["judgement"]["score"]
        console.print_note(f"Note: {output.id} meets only a part of what was asked (score {score:.2f} of 1).")
    if output.record.get("is_incomplete"):
        console.print_note(f"Note: {output.id} is unfinished: it ends before its format does. More room: --max-tokens.")
    if output.record.get("has_loop"):
        console.print_note(f"Note: {output.id} was ended because it repeated itself.")


def print_selection(report: "SelectionReport", console: Console) -> None:
    """Print how many outputs were generated for those that were wanted, and why some are not handed out."""
    if report.num_generated == report.num_wanted == report.num_chosen == report.num_met:
        return
    met = f"{min(report.num_met, report.num_wanted):,} of {report.num_wanted:,} found"
    console.print_note(f"{met} among {report.num_generated:,} that were generated (budget {report.budget:,}).")
    if report.withheld:
        reasons = ", ".join(f"{count:,} × {reason}" for reason, count in report.withheld.most_common(6))
        console.print_note(f"Not handed out: {reasons}.")
