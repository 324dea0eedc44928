"""`genloom list`: what is in the workspace."""

import typing
from typing import Any, Literal

from genloom import plugins
from genloom.cli.screen import Screen, size, table
from genloom.cli.shared import Shared
from genloom.rate.wording import counted
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace

Kind = Literal["data", "models", "builtin", "runs", "outputs", "conversations"]
_SHOWN = 20  # what piles up: a person sees the newest
_MANY = ("outputs", "conversations")
_NOTHING = "Nothing of your own here yet. Begin with: genloom collect FOLDER --name NAME"
_NONE = {
    "data": "No data set here yet. Collect one: genloom collect FOLDER --name NAME",
    "models": "No model of your own here yet. Train one: genloom train NAME",
    "runs": "No run here yet. Start one: genloom train NAME",
    "outputs": "No output here yet. Make one: genloom generate MODEL",
    "conversations": "No conversation here yet. Begin one: genloom chat MODEL",
}
_TITLES = {"builtin": "built-in models"}


def run(kind: Kind | None = None, /, *, shared: Shared = Shared()) -> int:
    """Show the data sets, models, runs, outputs and conversations of the workspace, and the models built in.

    Parameters
    ----------
    kind
        Only these.
    """
    workspace, screen = shared.open()
    kinds: tuple[Kind, ...] = (kind,) if kind else typing.get_args(Kind)
    found = {each: _READ[each](workspace) for each in kinds}
    faults = workspace.faults()
    screen.result({"workspace": str(workspace.root), **found, "faults": faults})
    screen.say(f"Workspace {workspace.root}{'' if workspace.root.is_dir() else ' (made when first needed)'}")
    for each in kinds:
        _show(screen, each, found[each])
    for fault in faults:
        screen.say(f"damaged: {fault}")
    own = [each for each in kinds if each != "builtin"]
    if own and not faults and not any(found[each] for each in own):
        screen.say()
        screen.say(_NONE[kind] if kind else _NOTHING)
    return 1 if faults else 0


def _show(screen: Screen, kind: Kind, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    shown = rows[-_SHOWN:] if kind in _MANY else rows
    screen.say()
    screen.say(f"{_TITLES.get(kind, kind)} ({len(rows)}{', the newest' if len(shown) < len(rows) else ''})")
    for line in table([tuple(_COLUMNS[kind](row)) for row in shown]):
        screen.say(f"  {line}")


def _data(workspace: Workspace) -> list[dict[str, Any]]:
    return [
        {
            "name": data.name,
            "digest": data.digest,
            "created": data.created,
            "medium": data.medium,
            "documents": sum(data.count(split) for split in ("train", "val", "test")),
            "bytes": sum(data.size(split) for split in ("train", "val", "test")),
            "licences": data.manifest.get("licences", {}),
        }
        for data in workspace.datasets()
    ]


def _models(workspace: Workspace) -> list[dict[str, Any]]:
    return _described(workspace, workspace.models())


def _built_in(workspace: Workspace) -> list[dict[str, Any]]:
    return _described(workspace, workspace.models_built_in())


def _described(workspace: Workspace, models: list[ModelFolder]) -> list[dict[str, Any]]:
    used = {model.ref for model in workspace.models_in_use()}
    return [
        {
            "model": model.ref,
            "parent": model.parent,
            "in_use": model.ref in used,
            "digest": model.digest,
            "created": model.created,
            "bytes": sum(facts["bytes"] for facts in model.card["files"].values()),
        }
        for model in models
    ]


def _runs(workspace: Workspace) -> list[dict[str, Any]]:
    return [{"run": run.id, "name": run.name, "created": run.created, "model": run.model} for run in workspace.runs()]


def _outputs(workspace: Workspace) -> list[dict[str, Any]]:
    return [
        {"output": path.stem, "model": record.get("model"), "prompt": record.get("prompt"), "file": str(path)}
        for path, record in workspace.records()
    ]


def _conversations(workspace: Workspace) -> list[dict[str, Any]]:
    return [
        {
            "conversation": talk.id,
            "title": talk.known_as,
            "model": talk.model,
            "questions": len(talk.questions),
            "changed": talk.changed,
        }
        for talk in workspace.conversations()
    ]


def _as_model(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["model"],
        size(row["bytes"]),
        _day(row),
        row["digest"][:12],
        "in use" if row["in_use"] else "",
        f"from {row['parent']}" if row["parent"] else "",
    )


_READ = {
    "data": _data,
    "models": _models,
    "builtin": _built_in,
    "runs": _runs,
    "outputs": _outputs,
    "conversations": _conversations,
}
_COLUMNS = {
    "data": lambda row: (
        row["name"],
        f"{row['documents']:,} {getattr(plugins.find('medium', row['medium']), 'plural', 'documents')}",
        size(row["bytes"]),
        _day(row),
        ", ".join(list(row["licences"])[:3]),
    ),
    "models": _as_model,
    "builtin": _as_model,
    "runs": lambda row: (
        row["run"],
        row["name"],
        _day(row),
        f"finished: {row['model']}" if row["model"] else "to resume",
    ),
    "outputs": lambda row: (row["output"], str(row["model"] or ""), _short(row["prompt"]), row["file"]),
    "conversations": lambda row: (
        row["conversation"],
        row["model"],
        counted(row["questions"], "question"),
        _short(row["title"]),
    ),
}


def _day(row: dict[str, Any]) -> str:
    return row["created"][:16].replace("T", " ")


def _short(prompt: object) -> str:
    words = " ".join(str(prompt or "").split())
    return repr(words if len(words) <= 30 else words[:29] + "…")
