"""Removal of what a workspace has: found by its name, and refused while something depends on it."""

import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.api.classification import find_classifier_paths
from genloom.api.knowledge import find_paths as find_knowledge_paths
from genloom.errors import GenloomError, format_message
from genloom.store import built_in, recycle_bin
from genloom.store.files import lock_folder
from genloom.store.names import is_timed_id, validate_name
from genloom.store.recycle_bin import BinEntry, RemovableKind
from genloom.text_format import format_count

if TYPE_CHECKING:
    from genloom.api.workspace import Workspace
    from genloom.store.model_folder import ModelFolder


@dataclass(frozen=True)
class Loss:
    """The cost of a removal: its text for the command line, and a code and values for programs."""

    code: str
    text: str
    fields: Mapping[str, Any]

    def __str__(self) -> str:
        return self.text

    def to_record(self) -> dict[str, Any]:
        """Return the loss for programs, which say it in their own words."""
        return {"code": self.code, **self.fields}


def remove(workspace: "Workspace", kind: RemovableKind, name: str, *, force: bool = False) -> BinEntry:
    """Move something to the bin of the workspace.

    Ratings stay in the ledger, and later versions of a model get new numbers.

    Parameters
    ----------
    kind
        "data", "models", "runs", "outputs", "conversations", "prompts", "knowledge" or "classifiers".
    name
        Its name or id; notes/3 is a version of a model, notes/2a79d1 one of a data set by its digest.
    force
        Whether it is removed although others depend on it.

    Returns
    -------
    BinEntry
        The removed things, and their size.

    Raises
    ------
    GenloomError
        api.still_needed: others depend on it; the error names them and what would be lost, `details` for programs.
        store.unknown_name, store.unknown_name_near, api.unknown_data_version: nothing has this name.
        api.built_in_removal: it comes with the package. train.run_locked: the run is being trained.
    """
    if kind == "outputs" and name == "last":
        name = workspace.output(name).id
    paths = find_removable_paths(workspace, kind, name, force)
    if kind == "runs":
        (folder,) = paths  # of a run that may be damaged
        with lock_folder(folder, GenloomError("train.run_locked", run=folder.name)):
            return recycle_bin.move_to_bin(workspace.folder, kind, folder.name, paths)
    entry = recycle_bin.move_to_bin(workspace.folder, kind, name, paths)
    sync_active_version(workspace, entry)
    return entry


def find_removable_paths(workspace: "Workspace", kind: RemovableKind, name: str, force: bool) -> list[Path]:
    """Return what `remove` moves to the bin; raise GenloomError where it refuses."""
    if kind not in recycle_bin.REMOVABLE_KINDS:
        raise GenloomError("api.unremovable_kind", kind=kind, known=", ".join(recycle_bin.REMOVABLE_KINDS))
    if kind == "outputs" and name == "last":
        name = workspace.output(name).id
    paths = PATH_FINDERS[kind](workspace, name)
    losses = [] if force else list(LOSS_FINDERS[kind](workspace, paths))
    if losses:
        details = [loss.to_record() for loss in losses]
        raise GenloomError(
            "api.still_needed", kind=kind, name=name, losses="; ".join(map(str, losses)), details=details
        )
    return paths


def restore(workspace: "Workspace", name: str) -> BinEntry:
    """Move something back from the bin, by its id or its name.

    Raises
    ------
    GenloomError
        store.unknown_name, store.unknown_name_near, store.nothing_known: it is not in the bin;
        store.restore_blocked: its place is taken; store.ambiguous_in_bin: several kinds have this name.
    """
    entry = recycle_bin.restore_entry(workspace.folder, name)
    sync_active_version(workspace, entry)
    return entry


def sync_active_version(workspace: "Workspace", entry: BinEntry) -> None:
    """Let the name of a model mean the last promoted version that is there."""
    from genloom.rate.promotion import sync_active_version

    if entry.kind == "models":
        sync_active_version(workspace.store, workspace.ledger, entry.name.partition("/")[0])


def find_data_paths(workspace: "Workspace", name: str) -> list[Path]:
    """Return the folder of a data set, or that of a version given as `notes/2a79d1`, the beginning of its digest."""
    name, slash, digest = name.partition("/")
    folder = workspace.folder / "data" / validate_name(name, "data set")
    if not folder.is_dir():
        workspace.dataset(name)  # the error of an unknown name
    if not slash:
        return [folder]
    versions = sorted(path for path in folder.iterdir() if digest and path.name.startswith(digest))
    if len(versions) != 1:
        known = ", ".join(sorted(path.name[:12] for path in folder.iterdir() if not path.name.startswith(".")))
        raise GenloomError("api.unknown_data_version", name=name, digest=digest, known=known)
    return versions


def find_model_paths(workspace: "Workspace", name: str) -> list[Path]:
    """Return the folder of a model, or that of a version given as `notes/3`."""
    model, slash, version = name.partition("/")
    folder = workspace.folder / "models" / validate_name(model, "model")
    path = folder / version if version.isascii() and version.isdigit() else folder
    if (slash and path == folder) or not path.is_dir():
        stored = workspace.store.get_model(name)  # the error of an unknown name
        assert stored.folder.is_relative_to(built_in.FOLDER)
        raise GenloomError("api.built_in_removal", name=name)
    return [path]


def find_run_paths(workspace: "Workspace", name: str) -> list[Path]:
    folder = workspace.folder / "runs" / name
    if is_timed_id(name) and (folder / "run.json").is_file():  # also if it is damaged
        return [folder]
    return [workspace.store.get_run(name).folder]


def find_output_paths(workspace: "Workspace", name: str) -> list[Path]:
    """Return the record of an output, its file, and the sources that no other output has."""
    folder = workspace.folder / "outputs"
    record_path = folder / name[:10] / f"{name}.json"
    if not is_timed_id(name) or not record_path.is_file():
        workspace.store.get_output(name)  # the error of an unknown name
    files = [path for path in sorted(record_path.parent.glob(f"{name}.*")) if path != record_path]
    text = record_path.read_text(encoding="utf-8", errors="replace")
    sources = [path for path in (folder / "originals").glob("*") if path.stem in text]
    if sources:
        others = [path for path in folder.glob("*/*.json") if path != record_path and is_timed_id(path.stem)]
        shared_text = "".join(path.read_text(encoding="utf-8", errors="replace") for path in others)
        sources = [path for path in sources if path.stem not in shared_text]
    return [record_path, *files, *sorted(sources)]


def find_conversation_paths(workspace: "Workspace", name: str) -> list[Path]:
    """Return the file of a conversation, which may be damaged if it is named by its id."""
    path = workspace.folder / "conversations" / f"{name}.json"
    if not is_timed_id(name) or not path.is_file():
        path = path.with_name(f"{workspace.store.get_conversation(name).id}.json")
    return [path]


def find_prompt_paths(workspace: "Workspace", name: str) -> list[Path]:
    """Return the folder of a prompt, or the file of a version given as `email/2`."""
    library = workspace.prompts.library
    prompt, slash, version = name.partition("/")
    folder = library.folder / validate_name(prompt, "prompt")
    if slash and version != "0" and (path := folder / f"{version}.toml").is_file() and version.isdecimal():
        return [path]
    if not slash and folder.is_dir():
        return [folder]
    library.get(name)  # the error of an unknown name
    raise GenloomError("api.built_in_removal", name=name)


def find_data_losses(workspace: "Workspace", paths: list[Path]) -> Iterator[Loss]:
    """Yield what depends on the removed versions of a data set."""
    (path,) = paths
    digests = {folder.name for folder in path.iterdir() if folder.is_dir()} | {path.name}
    refs = [m.ref for m in workspace.store.list_models() if (m.card.get("data") or {}).get("digest") in digests]
    if refs:
        yield Loss(
            "loss_of_training_data",
            format_message("api.loss_of_training_data", models=", ".join(refs)),
            {"models": ", ".join(refs)},
        )
    yield from find_unfinished_runs(workspace, "digest", digests)


def find_model_losses(workspace: "Workspace", paths: list[Path]) -> Iterator[Loss]:
    """Yield what depends on the removed versions of a model."""
    (path,) = paths
    versions = recycle_bin.find_versions(path)
    name = path.parent.name if (path / "card.json").is_file() else path.name
    refs = {f"{name}/{version}" for version in versions}
    models = workspace.store.list_models()
    active = {model.ref for model in workspace.store.list_active_models()}
    if active & refs and any(model.name == name and model.ref not in refs for model in models):
        yield Loss(
            "loss_of_active_version",
            format_message("api.loss_of_active_version", ref=min(active & refs), name=name),
            {"ref": min(active & refs), "name": name},
        )
    children = [model for model in models if model.parent_ref in refs and model.ref not in refs]
    if adapters := _find_adapters_on(refs, models):
        yield Loss(
            "loss_of_base",
            format_message("api.loss_of_base", models=", ".join(adapters)),
            {"models": ", ".join(adapters)},
        )
    if tuned := [model.ref for model in children if not model.is_adapter]:
        yield Loss(
            "loss_of_parent",
            format_message("api.loss_of_parent", models=", ".join(tuned)),
            {"models": ", ".join(tuned)},
        )
    counts = Counter(str(record.get("model")) in refs for _, record in workspace.store.list_records())
    if counts[True]:
        yield Loss(
            "loss_of_replay",
            format_message("api.loss_of_replay", outputs=format_count(counts[True], "output")),
            {"outputs": counts[True]},
        )
    if heads := [each.name for each in workspace.classifiers if each.card.get("model") in refs]:
        yield Loss(
            "loss_of_states",
            format_message("api.loss_of_states", classifiers=", ".join(heads)),
            {"classifiers": ", ".join(heads)},
        )
    yield from find_unfinished_runs(workspace, "base", refs)


def _find_adapters_on(refs: set[str], models: Sequence["ModelFolder"]) -> list[str]:
    """Return the adapters that need these versions, also those on top of other adapters."""
    found, needed = list[str](), set(refs)
    while new := [m.ref for m in models if m.is_adapter and m.parent_ref in needed and m.ref not in {*refs, *found}]:
        found += new
        needed |= set(new)
    return found


def find_output_losses(workspace: "Workspace", paths: list[Path]) -> Iterator[Loss]:
    """Yield what depends on the removed output."""
    from genloom.rate.ratings import read_ratings

    output, judged = paths[0].stem, read_ratings(workspace.ledger)
    if count := sum(output in judgement.outputs for judgement in (*judged.ratings, *judged.choices)):
        yield Loss(
            "loss_of_ratings",
            format_message("api.loss_of_ratings", ratings=format_count(count, "rating")),
            {"ratings": count},
        )


def find_no_losses(workspace: "Workspace", paths: list[Path]) -> Iterator[Loss]:
    yield from ()


def find_unfinished_runs(workspace: "Workspace", key: str, values: set[str]) -> Iterator[Loss]:
    """Yield the unfinished runs whose job has one of these values: a digest of its data, or the ref of its base."""
    for run in workspace.store.list_runs():
        job_path = run.folder / "job.toml"
        if run.model or not job_path.is_file():
            continue
        try:
            job: dict[str, Any] = tomllib.loads(job_path.read_text(encoding="utf-8"))
        except ValueError:
            continue  # damaged, so it cannot be resumed anyway
        value = job.get(key)
        if (value.get("ref") if isinstance(value, dict) else value) in values:
            yield Loss("loss_of_run", format_message("api.loss_of_run", run=run.id), {"run": run.id})


PATH_FINDERS = {
    "data": find_data_paths,
    "models": find_model_paths,
    "runs": find_run_paths,
    "outputs": find_output_paths,
    "conversations": find_conversation_paths,
    "knowledge": find_knowledge_paths,
    "prompts": find_prompt_paths,
    "classifiers": find_classifier_paths,
}
LOSS_FINDERS = {
    "data": find_data_losses,
    "models": find_model_losses,
    "runs": find_no_losses,
    "outputs": find_output_losses,
    "conversations": find_no_losses,
    "knowledge": find_no_losses,
    "prompts": find_no_losses,
    "classifiers": find_no_losses,
}
