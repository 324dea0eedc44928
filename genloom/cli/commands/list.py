"""`genloom list`: the contents of the workspace."""

import typing
from typing import Any, Literal

from genloom import plugins
from genloom.cli.console import Console
from genloom.cli.options.common import CommonOptions
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace
from genloom.text_format import format_bytes, format_count, format_table

Kind = Literal["data", "models", "builtin", "runs", "outputs", "conversations"]
_MAX_ROWS = 20  # of the kinds that grow without bound, only the newest are shown
_TRUNCATED_KINDS = ("outputs", "conversations")
_EMPTY_WORKSPACE = "The workspace is empty. Start with: genloom collect FOLDER --name NAME"
_EMPTY_KINDS = {
    "data": "No data sets. Collect one: genloom collect FOLDER --name NAME",
    "models": "No models of your own. Train one: genloom train NAME",
    "runs": "No runs. Start one: genloom train NAME",
    "outputs": "No outputs. Generate one: genloom generate MODEL",
    "conversations": "No conversations. Start one: genloom chat MODEL",
}
_TITLES = {"builtin": "built-in models"}


def run(kind: Kind | None = None, /, *, common: CommonOptions = CommonOptions()) -> int:
    """List the data sets, models, runs, outputs and conversations of the workspace, and built-in models.

    Parameters
    ----------
    kind
        Kind to list. [default: all]
    """
    workspace, console = common.open()
    kinds: tuple[Kind, ...] = (kind,) if kind else typing.get_args(Kind)
    rows_by_kind = {kind_name: _LISTERS[kind_name](workspace) for kind_name in kinds}
    faults = workspace.list_faults()
    console.print_result({"workspace": str(workspace.root), **rows_by_kind, "faults": faults})
    console.print_line(f"Workspace {workspace.root}{'' if workspace.root.is_dir() else ' (created when first needed)'}")
    for kind_name in kinds:
        _print_section(console, kind_name, rows_by_kind[kind_name])
    for fault in faults:
        console.print_line(f"damaged: {fault}")
    own_kinds = [kind_name for kind_name in kinds if kind_name != "builtin"]
    if own_kinds and not faults and not any(rows_by_kind[kind_name] for kind_name in own_kinds):
        console.print_line()
        console.print_line(_EMPTY_KINDS[kind] if kind else _EMPTY_WORKSPACE)
    return 1 if faults else 0


def _print_section(console: Console, kind: Kind, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    visible_rows = rows[-_MAX_ROWS:] if kind in _TRUNCATED_KINDS else rows
    console.print_line()
    console.print_line(f"{_TITLES.get(kind, kind)} ({len(rows)}{', newest' if len(visible_rows) < len(rows) else ''})")
    for line in format_table([tuple(_ROW_FORMATTERS[kind](row)) for row in visible_rows]):
        console.print_line(f"  {line}")


def _list_datasets(workspace: Workspace) -> list[dict[str, Any]]:
    return [
        {
            "name": dataset.name,
            "digest": dataset.digest,
            "created": dataset.created,
            "medium": dataset.medium,
            "documents": sum(dataset.count_documents(split) for split in ("train", "val", "test")),
            "bytes": sum(dataset.count_bytes(split) for split in ("train", "val", "test")),
            "licences": dataset.manifest.get("licences", {}),
        }
        for dataset in workspace.list_datasets()
    ]


def _list_models(workspace: Workspace) -> list[dict[str, Any]]:
    return _describe_models(workspace, workspace.list_models())


def _list_built_in_models(workspace: Workspace) -> list[dict[str, Any]]:
    return _describe_models(workspace, workspace.list_built_in_models())


def _describe_models(workspace: Workspace, models: list[ModelFolder]) -> list[dict[str, Any]]:
    active_refs = {model.ref for model in workspace.list_active_models()}
    return [
        {
            "model": model.ref,
            "parent": model.parent_ref,
            "in_use": model.ref in active_refs,
            "digest": model.digest,
            "created": model.created,
            "bytes": sum(file_entry["bytes"] for file_entry in model.card["files"].values()),
        }
        for model in models
    ]


def _list_runs(workspace: Workspace) -> list[dict[str, Any]]:
    return [
        {"run": run.id, "name": run.name, "created": run.created, "model": run.model} for run in workspace.list_runs()
    ]


def _list_outputs(workspace: Workspace) -> list[dict[str, Any]]:
    return [
        {"output": path.stem, "model": record.get("model"), "prompt": record.get("prompt"), "file": str(path)}
        for path, record in workspace.list_records()
    ]


def _list_conversations(workspace: Workspace) -> list[dict[str, Any]]:
    return [
        {
            "conversation": conversation.id,
            "title": conversation.display_title,
            "model": conversation.model,
            "questions": len(conversation.questions),
            "changed": conversation.changed,
        }
        for conversation in workspace.list_conversations()
    ]


def _format_model_row(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["model"],
        format_bytes(row["bytes"]),
        _format_day(row),
        row["digest"][:12],
        "active" if row["in_use"] else "",
        f"from {row['parent']}" if row["parent"] else "",
    )


_LISTERS = {
    "data": _list_datasets,
    "models": _list_models,
    "builtin": _list_built_in_models,
    "runs": _list_runs,
    "outputs": _list_outputs,
    "conversations": _list_conversations,
}
_ROW_FORMATTERS = {
    "data": lambda row: (
        row["name"],
        f"{row['documents']:,} {getattr(plugins.find_part('medium', row['medium']), 'plural', 'documents')}",
        format_bytes(row["bytes"]),
        _format_day(row),
        ", ".join(list(row["licences"])[:3]),
    ),
    "models": _format_model_row,
    "builtin": _format_model_row,
    "runs": lambda row: (
        row["run"],
        row["name"],
        _format_day(row),
        f"finished: {row['model']}" if row["model"] else "to resume",
    ),
    "outputs": lambda row: (row["output"], str(row["model"] or ""), _shorten(row["prompt"]), row["file"]),
    "conversations": lambda row: (
        row["conversation"],
        row["model"],
        format_count(row["questions"], "question"),
        _shorten(row["title"]),
    ),
}


def _format_day(row: dict[str, Any]) -> str:
    return row["created"][:16].replace("T", " ")


def _shorten(prompt: object) -> str:
    text = " ".join(str(prompt or "").split())
    return repr(text if len(text) <= 30 else text[:29] + "…")
