"""`genloom ratings`: the ratings, their use for learning, and their withdrawal."""

import json
from pathlib import Path
from typing import Literal

from genloom.api.ratings import Ratings
from genloom.api.signing import save_signed
from genloom.api.workspace import Workspace
from genloom.cli.console import Console
from genloom.cli.options.workspace import CommonOptions, LedgerURL
from genloom.cli.output_path import resolve_output_file
from genloom.errors import GenloomError
from genloom.program import name_program, quote_name
from genloom.rate.export import Format
from genloom.text_format import format_count, format_table, quote_beginning
from genloom.trust.manifests import EDITED

Action = Literal["list", "withdraw", "export", "verify"]
_MAX_ROWS = 20
_MAX_TEXT_CHARS = 60
_HOW_TO_RATE = "Start with: genloom rate ID --up, or genloom arena MODEL --prompts FILE"


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
    workspace, console = common.open(ledger)
    is_export = action == "export"
    has_export_options = to is not None if is_export else to is None and out is None
    if (action == "withdraw") != (id is not None) or not has_export_options:
        raise GenloomError("cli.ratings_usage")
    if id is not None:
        event = workspace.withdraw(id)
        console.print_line(
            f"{id} is withdrawn: nothing is learned from it from now on. The ledger still records that it was given."
        )
        versions = workspace.find_trained_versions(id)
        if versions:
            body = workspace.ledger.get_event(id).body
            name, item = versions[0].partition("/")[0], body.get("output") or body.get("a")
            console.print_line(f"Trained on it before: {', '.join(versions)}.")
            console.print_hint(
                f"To retrain without the ratings of its output: genloom forget {quote_name(name)} --item {item}"
            )
        console.print_result({"event": event.id, "at": event.at, "withdrawn": id, "trained_versions": versions})
    elif to is not None:
        export_path = None if out is None else resolve_output_file(out, "ratings.jsonl")
        _export_ratings(workspace, model, to, export_path, console)
    elif action == "verify":
        return _verify_ledger(workspace, console)
    else:
        _print_ratings(workspace.ratings(model), console)
    return 0


def _export_ratings(workspace: Workspace, model: str, to: Format, out: Path | None, console: Console) -> None:
    exported_rows = list(workspace.export_ratings(to, model))
    lines = [json.dumps(row, ensure_ascii=False) for row in exported_rows]
    if out is not None:
        data = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
        facts = {"ratings": len(exported_rows), "format": to, **({"model": model} if model else {})}
        save_signed(workspace, out, data, facts, console.print_note_once, EDITED)  # people's words beside outputs
        console.print_line(f"{format_count(len(exported_rows), 'row')} written to {out}")
    else:
        console.print_lines(lines)
    if not exported_rows:
        _explain_empty_export(workspace, model, to, console)
    console.print_result(
        {"to": to, "rows": exported_rows if out is None else len(exported_rows), "file": str(out) if out else None}
    )


def _explain_empty_export(workspace: Workspace, model: str, to: Format, console: Console) -> None:
    num_unpaired = len(workspace.ratings(model).preferences.unpaired)
    if to == "dpo" and num_unpaired:
        given = format_count(num_unpaired, "unpaired rating")
        console.print_note(f"Note: dpo needs pairs, and there are only {given}. To export these, use --to kto.")
        return
    owner = f" of {model}" if model else ""
    console.print_note(name_program(f"Note: there are no ratings{owner} to export. {_HOW_TO_RATE}"))


def _verify_ledger(workspace: Workspace, console: Console) -> int:
    try:
        head = workspace.verify_ledger()
    except ValueError as error:
        console.print_line(str(error))
        console.print_result({"sound": False, "problem": str(error)})
        return 1
    is_end_known = workspace.ledger.is_end_known()
    facts = {"entries": head.seq if head else 0, "digest": head.digest if head else ""}
    console.print_result({"sound": True, **facts, "is_end_known": is_end_known})
    console.print_line(f"{format_count(head.seq if head else 0, 'entry', 'entries')}, all unchanged.")
    if not is_end_known:
        place = workspace.ledger.database.head_file
        console.print_note(
            f"Note: whether its end was cut off cannot be told: {place} is missing, which keeps the newest entry. "
            "Compare the digest below with one that you kept; the next rating writes the file again."
        )
    if head:
        console.print_line(
            f"Keep the digest of the newest entry, to detect later whether entries were cut off: {head.digest}"
        )
    return 0


def _print_ratings(ratings: Ratings, console: Console) -> None:
    console.print_result(ratings.to_json())
    if not ratings.rows:
        console.print_hint(f"No ratings. {_HOW_TO_RATE}")
        return
    table = [
        (row["event"], row["at"][:16].replace("T", " "), row["rater"], row["says"], row["effect"])
        for row in ratings.rows[-_MAX_ROWS:]
    ]
    if len(ratings) > _MAX_ROWS:
        console.print_line(f"The newest {_MAX_ROWS} of {len(ratings):,}; --json lists all.")
    for line, row in zip(format_table(table), ratings.rows[-_MAX_ROWS:], strict=True):
        console.print_line(line)
        texts = " | ".join(quote_beginning(text, _MAX_TEXT_CHARS) for text in row["texts"] if text)
        console.print_line(
            f"    {quote_beginning(row['prompt'], _MAX_TEXT_CHARS)} → {texts}" if texts else "    no text"
        )
        if row["note"]:
            console.print_line(f"    Note: {row['note']}")
    console.print_line()
    preferences = ratings.preferences
    num_pairs = format_count(len(preferences.pairs), "pair")
    num_unpaired = format_count(len(preferences.unpaired), "unpaired rating")
    console.print_line(
        f"{format_count(len(ratings), 'rating')}: {num_pairs} and {num_unpaired}, {ratings.count_split('val')} held out"
    )
    if weights := ", ".join(f"{rater} {weight:.2f}" for rater, weight in preferences.raters.items()):
        console.print_line(f"Weights of the raters (1: nothing is known of their accuracy): {weights}")
    for contradiction in preferences.contradictions[:_MAX_ROWS]:
        raters_text = " and ".join(contradiction.raters)
        outputs, events = " and ".join(contradiction.outputs), ", ".join(contradiction.events)
        console.print_line(f"Contradiction: {raters_text} about {outputs} ({events})")
    if (num_more := len(preferences.contradictions) - _MAX_ROWS) > 0:
        console.print_line(f"{format_count(num_more, 'more contradiction')}; --json lists all.")
    if ratings.shortfall:
        console.print_line(ratings.shortfall)
