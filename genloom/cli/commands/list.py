"""`genloom list`: the contents of the workspace."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from genloom import plugins
from genloom.cli.commands.remove import print_bin
from genloom.cli.console import Console
from genloom.cli.options.workspace import CommonOptions
from genloom.media.abilities import get_ability
from genloom.store.mirror import is_address
from genloom.text_format import format_bytes, format_count, format_table

Kind = Literal["data", "models", "builtin", "runs", "outputs", "conversations", "knowledge", "classifiers", "bin"]
_MAX_ROWS = 20  # of the kinds that grow without bound, only the newest are shown
_TRUNCATED_KINDS = ("outputs", "conversations")
_EMPTY_WORKSPACE = "The workspace is empty. Start with: genloom collect FOLDER --name NAME"
_EMPTY_KINDS = {
    "data": "No data sets. Collect one: genloom collect FOLDER --name NAME",
    "models": "No models of your own. Train one: genloom train NAME",
    "runs": "No runs. Start one: genloom train NAME",
    "outputs": "No outputs. Generate one: genloom generate MODEL",
    "conversations": "No conversations. Start one: genloom chat MODEL",
    "knowledge": "No knowledge. Read documents: genloom ask FOLDER QUESTION",
    "classifiers": "No classifiers. Train one: genloom classify FILE --labels A,B --train FILE",
}
_TITLES = {"builtin": "built-in models"}


def run(kind: Kind | None = None, /, *, common: CommonOptions = CommonOptions()) -> int:
    """List the data sets, models, runs, outputs and conversations of the workspace, and built-in models.

    Shows how much space they take; `genloom remove` frees it.

    Parameters
    ----------
    kind
        Kind to list. [default: all]
    """
    workspace, console = common.open()
    if kind == "bin":
        print_bin(workspace.bin, console)
        console.print_result({"workspace": str(workspace.folder), "bin": workspace.bin.to_records()})
        return 0
    kinds: tuple[Kind, ...] = (kind,) if kind else tuple(_LISTINGS)
    rows_by_kind = {kind_name: getattr(workspace, _LISTINGS[kind_name]).to_records() for kind_name in kinds}
    faults = workspace.store.list_faults(kind or "")
    console.print_result({"workspace": str(workspace.folder), **rows_by_kind, "faults": faults})
    place = workspace.address if is_address(workspace.address) else workspace.folder
    created_note = "" if workspace.folder.is_dir() else " (created when first needed)"
    console.print_line(f"Workspace {place}{created_note}")
    for kind_name in kinds:
        _print_section(console, kind_name, rows_by_kind[kind_name])
    if not kind and (entries := workspace.bin):
        console.print_line()
        print_bin(entries, console)
    for fault in faults:
        console.print_line(f"damaged: {fault}")
    own_kinds = [kind_name for kind_name in kinds if kind_name != "builtin"]
    if own_kinds and not faults and not any(rows_by_kind[kind_name] for kind_name in own_kinds):
        console.print_line()
        console.print_hint(_EMPTY_KINDS[kind] if kind else _EMPTY_WORKSPACE)
    return 1 if faults else 0


def _print_section(console: Console, kind: Kind, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    visible_rows = rows[-_MAX_ROWS:] if kind in _TRUNCATED_KINDS else rows
    total = format_bytes(sum(row["bytes"] for row in rows))
    console.print_line()
    console.print_line(
        f"{_TITLES.get(kind, kind)} ({len(rows)}, {total}{'; the newest' if len(visible_rows) < len(rows) else ''})"
    )
    console.print_lines(format_table([tuple(_ROW_FORMATTERS[kind](row)) for row in visible_rows]), indent="  ")


def _format_model_row(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["model"],
        format_bytes(row["bytes"]),
        _format_day(row),
        row["digest"][:12],
        "active" if row["in_use"] else "",
        f"from {row['parent']}" if row["parent"] else "",
    )


_LISTINGS: dict[Kind, str] = {
    "data": "datasets",
    "models": "models",
    "builtin": "built_in_models",
    "runs": "runs",
    "outputs": "outputs",
    "conversations": "conversations",
    "knowledge": "knowledge",
    "classifiers": "classifiers",
}


def _count_documents(row: Mapping[str, Any]) -> str:
    plural: str = get_ability(plugins.find_part("medium", row["medium"]), "plural")
    return format_count(row["documents"], plural.removesuffix("s"), plural)


def _describe_run(row: Mapping[str, Any]) -> str:
    if row["model"]:
        return f"finished: {row['model']}"
    return "to resume" if row["is_resumable"] else "not begun: nothing to resume"


_ROW_FORMATTERS = {
    "data": lambda row: (
        row["name"],
        _count_documents(row),
        format_bytes(row["bytes"]),
        _format_day(row),
        ", ".join(list(row["licences"])[:3]),
        f"{row['versions']} versions, {format_bytes(row['disk_bytes'])} on disk" if row["versions"] > 1 else "",
    ),
    "models": _format_model_row,
    "builtin": _format_model_row,
    "runs": lambda row: (
        row["run"],
        row["name"],
        _format_day(row),
        format_bytes(row["bytes"]),
        _describe_run(row),
    ),
    "outputs": lambda row: (
        row["output"],
        str(row["model"] or ""),
        _shorten_value(
            " ".join([*(f"{name}={value}" for name, value in row["given"].items()), str(row["prompt"] or "")])
        ),
        _shorten_value(row["text"], 40) if row["text"] else f"outputs/{row['output'][:10]}/{Path(row['file']).name}",
    ),
    "conversations": lambda row: (
        row["conversation"],
        row["model"],
        format_count(row["questions"], "question"),
        format_bytes(row["bytes"]),
        _shorten_value(row["title"]),
    ),
    "knowledge": lambda row: (
        row["knowledge"],
        f"{format_count(row['files'], 'file')}, {format_count(row['passages'], 'passage')}",
        format_bytes(row["bytes"]),
        row["changed"][:16].replace("T", " "),
        ", ".join(row["sources"][:2]),
    ),
    "classifiers": lambda row: (
        row["classifier"],
        row["method"],
        format_bytes(row["bytes"]),
        _format_day(row),
        ", ".join(row["labels"][:4]),
        row["model"],
    ),
}


def _format_day(row: dict[str, Any]) -> str:
    return row["created"][:16].replace("T", " ")


def _shorten_value(value: object, max_chars: int = 30) -> str:
    text = " ".join(str(value or "").split())
    return repr(text if len(text) <= max_chars else text[: max_chars - 1] + "…")
