"""`genloom ratings`: what was rated, what it is worth, and taking it back."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, Literal

from genloom.cli.console import Console, format_table
from genloom.cli.options.common import CommonOptions
from genloom.cli.output_path import resolve_output_file
from genloom.rate.export import Format, export_rows
from genloom.rate.preferences import Preferences, assign_split, build_preferences, require_enough_preferences
from genloom.rate.promotion import sync_active_version
from genloom.rate.ratings import Choice, Rating, read_ratings, withdraw_rating
from genloom.rate.report.wording import format_count
from genloom.store.files import write_atomic
from genloom.store.ledger import Ledger, open_ledger
from genloom.store.workspace import Workspace

Action = Literal["list", "withdraw", "export", "verify"]
_MAX_ROWS = 20


def run(
    action: Action = "list",
    id: str | None = None,
    /,
    *,
    model: str = "",
    to: Format | None = None,
    out: Path | None = None,
    ledger: str = "",
    common: CommonOptions = CommonOptions(),
) -> int:
    """Show what was rated and what it is worth, take a rating back, or write the ratings for other programs.

    Parameters
    ----------
    action
        list, withdraw ID, export --to FORMAT, or verify: is every entry as it was written?
    id
        The rating to withdraw.
    model
        Only ratings of this model's outputs, in any version.
    to
        What to export: jsonl is the ledger as it is, dpo and kto are what TRL's trainers read.
    out
        The file to export to, or a folder to put ratings.jsonl into. [default: standard output]
    ledger
        Where ratings are kept, like postgresql://name@host/database. [default: $GENLOOM_LEDGER or the workspace]
    """
    workspace, console = common.open()
    ledger_store = open_ledger(workspace.root, ledger)
    if (action == "withdraw") != (id is not None) or (action == "export") != (to is not None):
        raise ValueError("It is: genloom ratings withdraw ID, or genloom ratings export --to jsonl (or dpo, kto).")
    if model:
        model = workspace.get_model(model).name
    if id is not None:
        _withdraw_rating(ledger_store, id, console)
    elif to is not None:
        export_path = None if out is None else resolve_output_file(out, "ratings.jsonl")
        _export_ratings(workspace, ledger_store, to, model, export_path, console)
    elif action == "verify":
        return _verify_ledger(workspace, ledger_store, console)
    else:
        _list_ratings(workspace, ledger_store, model, console)
    return 0


def _withdraw_rating(ledger: Ledger, id: str, console: Console) -> None:
    event = withdraw_rating(ledger, id)
    console.print_line(
        f"{id} is withdrawn: nothing is learned from it any more. That it was given stays in the ledger."
    )
    console.print_result({"event": event.id, "at": event.at, "withdrawn": id})


def _export_ratings(
    workspace: Workspace, ledger: Ledger, to: Format, model: str, out: Path | None, console: Console
) -> None:
    exported_rows = list(export_rows(workspace, ledger, to, model))
    lines = [json.dumps(row, ensure_ascii=False) for row in exported_rows]
    if out is not None:
        write_atomic(out, "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"))
        console.print_line(f"{format_count(len(exported_rows), 'row')} written to {out}")
    else:
        for line in lines:
            console.print_line(line)
    console.print_result(
        {"to": to, "rows": exported_rows if out is None else len(exported_rows), "file": str(out) if out else None}
    )


def _verify_ledger(workspace: Workspace, ledger: Ledger, console: Console) -> int:
    try:
        ledger.verify()
    except ValueError as error:
        console.print_line(str(error))
        console.print_result({"sound": False, "problem": str(error)})
        return 1
    for name in {folder.name for folder in workspace.list_models()}:
        sync_active_version(workspace, ledger, name)
    head = ledger.get_head()
    console.print_result({"sound": True, "entries": head.seq if head else 0, "digest": head.digest if head else ""})
    console.print_line(f"{format_count(head.seq if head else 0, 'entry', 'entries')}, each as it was written.")
    if head:
        console.print_line(
            f"Note the newest one's digest to be able to tell later that none was cut off: {head.digest}"
        )
    return 0


def _list_ratings(workspace: Workspace, ledger: Ledger, model: str, console: Console) -> None:
    prefs, current = build_preferences(workspace, ledger, model), read_ratings(ledger)
    shortfall = _describe_shortfall(prefs)
    effects = {event: "pair" for entry in prefs.pairs for event in entry.events}
    effects |= {event: "unpaired" for entry in prefs.unpaired for event in entry.events if event not in effects}
    effects |= prefs.unused
    judgements = (*current.ratings, *current.choices, *current.replaced, *current.withdrawn)
    rating_rows = [
        _build_row(entry, effects[entry.event])
        for entry in sorted(judgements, key=lambda j: j.at)
        if entry.event in effects
    ]
    split_counts = Counter(assign_split(entry.prompt) for entry in (*prefs.pairs, *prefs.unpaired))
    summary = {
        "pairs": len(prefs.pairs),
        "unpaired": len(prefs.unpaired),
        "learned_from": split_counts["train"],
        "held_out": split_counts["val"],
        "enough": not shortfall,
        "missing": shortfall,
        "raters": dict(prefs.raters),
        "contradictions": [vars(entry) for entry in prefs.contradictions],
        "unused": dict(prefs.unused),
    }
    console.print_result({"ratings": rating_rows, **summary})
    if not rating_rows:
        console.print_line(
            "Nothing was rated yet. Begin with: genloom rate ID --up, or genloom arena MODEL --prompts FILE"
        )
        return
    for line in format_table([(r["event"], r["at"][:16].replace("T", " "), r["rater"], r["says"], r["effect"])
                       for r in rating_rows[-_MAX_ROWS:]]):  # fmt: skip
        console.print_line(line)
    console.print_line()
    verb = "gives" if len(rating_rows) == 1 else "give"
    console.print_line(f"{format_count(len(rating_rows), 'rating')} {verb} {format_count(len(prefs.pairs), 'pair')} and "
               f"{format_count(len(prefs.unpaired), 'opinion')}, of which {split_counts['val']} held out.")  # fmt: skip
    console.print_line("Raters, by how far their word counts (1: nothing is known of them): "
               + ", ".join(f"{rater} {weight:.2f}" for rater, weight in prefs.raters.items()))  # fmt: skip
    for contradiction in prefs.contradictions:
        raters_text = " and ".join(contradiction.raters) + (
            " contradict each other" if len(contradiction.raters) > 1 else " says both"
        )
        console.print_line(
            f"Contradiction: {raters_text} about {' and '.join(contradiction.outputs)} ({', '.join(contradiction.events)})"
        )
    if shortfall:
        console.print_line(shortfall)


def _describe_shortfall(prefs: Preferences) -> str:
    """What is missing to learn from it; "" where it is enough."""
    try:
        require_enough_preferences(prefs)
    except ValueError as error:
        return str(error)
    return ""


def _build_row(judgement: Rating | Choice, effect: str) -> dict[str, Any]:
    row = {
        "event": judgement.event,
        "at": judgement.at,
        "rater": judgement.rater,
        "machine": judgement.machine,
        "effect": effect,
    }
    if isinstance(judgement, Choice):
        signs = {"a": ">", "b": "<", "tie": "=", "bad": "both bad"}
        return row | {
            "outputs": [judgement.a, judgement.b],
            "says": f"{judgement.a} {signs[judgement.winner]} {judgement.b}",
        }
    words = {"thumb": "good" if judgement.value > 0 else "bad", "stars": "*" * judgement.value, "note": "note"}
    return row | {
        "outputs": [judgement.output],
        "says": f"{judgement.output} {words[judgement.scale]}",
        "note": judgement.note,
    }
