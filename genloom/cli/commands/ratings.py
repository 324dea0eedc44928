"""`genloom ratings`: the ratings, their use for learning, and their withdrawal."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, Literal

from genloom.cli.console import Console
from genloom.cli.options.common import CommonOptions, LedgerURL
from genloom.cli.output_path import resolve_output_file
from genloom.errors import GenloomError
from genloom.rate.export import Format, export_rows
from genloom.rate.preferences import Preferences, build_preferences, require_enough_preferences
from genloom.rate.promotion import sync_active_version
from genloom.rate.ratings import Choice, Rating, read_ratings, withdraw_rating
from genloom.store.files import write_atomic
from genloom.store.ledger import Ledger, open_ledger
from genloom.store.workspace import Workspace
from genloom.text_format import format_count, format_table

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
    ledger: LedgerURL = "",
    common: CommonOptions = CommonOptions(),
) -> int:
    """List ratings and their use for learning, withdraw one, or export them.

    Parameters
    ----------
    action
        list, withdraw ID, export --to FORMAT, or verify (the integrity of the ledger).
    id
        Rating to withdraw.
    model
        Model whose outputs were rated, in any version. [default: all]
    to
        Export format: jsonl is the ledger itself, dpo and kto are those of TRL's trainers.
    out
        File to export to, or a folder for ratings.jsonl. [default: standard output]
    """
    workspace, console = common.open()
    ledger_store = open_ledger(workspace.root, ledger)
    if (action == "withdraw") != (id is not None) or (action == "export") != (to is not None):
        raise GenloomError("cli.ratings_usage")
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
    console.print_line(f"{id} is withdrawn: nothing is learned from it. The ledger still records that it was given.")
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
    console.print_line(f"{format_count(head.seq if head else 0, 'entry', 'entries')}, all unchanged.")
    if head:
        console.print_line(
            f"Keep the digest of the newest entry, to detect later whether entries were cut off: {head.digest}"
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
    split_counts = Counter(entry.split for entry in (*prefs.pairs, *prefs.unpaired))
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
        console.print_line("No ratings. Start with: genloom rate ID --up, or genloom arena MODEL --prompts FILE")
        return
    table = [(r["event"], _format_time(r), r["rater"], r["says"], r["effect"]) for r in rating_rows[-_MAX_ROWS:]]
    for line in format_table(table):
        console.print_line(line)
    console.print_line()
    num_pairs, num_unpaired = (
        format_count(len(prefs.pairs), "pair"),
        format_count(len(prefs.unpaired), "unpaired rating"),
    )
    console.print_line(
        f"{format_count(len(rating_rows), 'rating')}: {num_pairs} and {num_unpaired}, {split_counts['val']} held out"
    )
    weights = ", ".join(f"{rater} {weight:.2f}" for rater, weight in prefs.raters.items())
    console.print_line(f"Weights of the raters (1: nothing is known of their accuracy): {weights}")
    for contradiction in prefs.contradictions:
        raters_text = " and ".join(contradiction.raters)
        outputs, events = " and ".join(contradiction.outputs), ", ".join(contradiction.events)
        console.print_line(f"Contradiction: {raters_text} about {outputs} ({events})")
    if shortfall:
        console.print_line(shortfall)


def _format_time(row: dict[str, Any]) -> str:
    return row["at"][:16].replace("T", " ")


def _describe_shortfall(prefs: Preferences) -> str:
    """Return what is missing to learn from the ratings; "" if there are enough."""
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
