"""The share of outputs and files that the training data of a model has too, beside that of held-out values."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.errors import GenloomError, format_message
from genloom.store.files import expand_home

if TYPE_CHECKING:
    from genloom.api.models import Model
    from genloom.api.outputs import Output
    from genloom.api.workspace import Workspace
    from genloom.trust.copies import CopyReport, TrainingData


def copies(workspace: "Workspace", path: str | Path, model: "Model | str" = "", *, data: str = "") -> "CopyReport":
    """Return the training items nearest to a file, and what held-out items share with the data by chance.

    The index of a data set is built at the first call and stays in the workspace's cache.

    Parameters
    ----------
    path
        The file: a text, a picture, a tune or another value of the model's medium.
    model
        Model whose training data are searched, down to its base. "": the one that made the file, if the workspace has
        the file's bytes or an unchanged, trusted signature names it.
    data
        Data set to search instead.

    Returns
    -------
    CopyReport
        The nearest items with their source and licence; `is_beyond_chance` compares them with held-out items.

    Raises
    ------
    GenloomError
        api.copies_of_what: no model or data set is named, and the file does not tell which model made it;
        core.unreadable_file, or what the medium says of the file.
    """
    from genloom import plugins

    adapters: tuple[str, ...] = ()
    if not (model or data):
        model, adapters = find_maker(workspace, expand_home(path))
    training_data = find_training_data(workspace, model, data, adapters)
    value = plugins.find_part("medium", training_data.medium.kind).open(expand_home(path)).value
    return _measure_values([value], training_data, [str(path)])[0]


def find_maker(workspace: "Workspace", path: Path) -> "tuple[Model, tuple[str, ...]]":
    """Return the model that made a file with its adapters, by the file's bytes or signature.

    Raises GenloomError (api.copies_of_what) if it is unknown.
    """
    from genloom.api.verification import verify
    from genloom.store.files import hash_file
    from genloom.trust import signing

    facts: Mapping[str, Any] = {}
    if signing.is_available():
        found = verify(workspace, path, marks="none")
        has_facts = found.is_stored or (found.signature == "unchanged" and found.manifest and found.manifest.is_trusted)
        facts = found.facts if has_facts else {}
    elif path.is_file() and (id := workspace.store.find_output(hash_file(path))):
        facts = workspace.store.get_output(id)[1]
    try:
        model = workspace.model(str(facts.get("model") or ""))
    except GenloomError as error:
        raise GenloomError("api.copies_of_what", path=path) from error
    if facts.get("model_digest") not in (None, model.digest):  # another model has its name now
        raise GenloomError("api.copies_of_what", path=path)
    return model, tuple(map(str, facts.get("adapters") or ()))


def copies_of_output(output: "Output", *, data: str = "") -> "CopyReport":
    """Return the training items of its model that are nearest to the output; see `Workspace.copies`.

    Parameters
    ----------
    data
        Data set to search instead of the model's own.

    Returns
    -------
    CopyReport
        The nearest items of the generated part, with their source and licence.

    Raises
    ------
    GenloomError
        evaluate.other_medium: the data set is of another medium; store.output_changed.
    """
    return find_copies_of_outputs(output.workspace, [output], data=data)[0]


def find_copies_of_outputs(
    workspace: "Workspace", outputs: "Sequence[Output]", model: "Model | str" = "", *, data: str = ""
) -> "list[CopyReport]":
    """Return the report on each output, in order; outputs of one model are compared together."""
    reports: dict[str, CopyReport] = {}
    chosen = (workspace.model(model).ref, ()) if model else None
    made_by = {each.id: chosen or (each.model, tuple(each.record.get("adapters") or ())) for each in outputs}
    for ref, adapters in dict.fromkeys(made_by.values()):
        own = [output for output in outputs if made_by[output.id] == (ref, adapters)]
        training_data = find_training_data(workspace, ref, data, adapters)
        for output in own:
            check_medium(training_data, output.medium.kind, output.id)
        found = _measure_values([output.continuation for output in own], training_data, [output.id for output in own])
        reports |= {output.id: report for output, report in zip(own, found, strict=True)}
    return [reports[output.id] for output in outputs]


def find_searchable_data(workspace: "Workspace", ref: str, adapters: Sequence[str] = ()) -> "TrainingData":
    """Return the training data of a model with adapters whose copies are refused.

    Raises GenloomError (api.copies_without_data) if not all of them are here, or nothing was held out that says what is
    shared by chance, so that copies could pass.
    """
    training_data = find_training_data(workspace, ref, adapters=adapters)
    if training_data.missing or not training_data.datasets:
        raise GenloomError("api.copies_without_data", model=ref, reason="; ".join(training_data.missing))
    if next(training_data.iter_held_out(), None) is None:
        reason = format_message("api.no_held_out_data", data=training_data.datasets[0].name)
        raise GenloomError("api.copies_without_data", model=ref, reason=reason)
    return training_data


def find_copied_rows(training_data: "TrainingData", values: Sequence[Any]) -> set[int]:
    """Return which of the generated values share more with training data than chance explains."""
    reports = _measure_values(values, training_data, [""] * len(values))
    return {row for row, report in enumerate(reports) if report.is_beyond_chance}


def find_training_data(
    workspace: "Workspace", model: "Model | str", data: str = "", adapters: Sequence[str] = ()
) -> "TrainingData":
    """Return the data sets to search: the one named, else those of the model, its adapters, and their bases."""
    from genloom import plugins
    from genloom.evaluate.training_sources import TrainingSources, find_seen_documents, find_training_sources
    from genloom.model.design import Design
    from genloom.trust.copies import TrainingData, remove_old_indexes

    store, excluded, load_codec, codec_key = workspace.store, frozenset[str](), None, ""
    parts: list[Model] = []
    if data:
        sources = TrainingSources((store.get_dataset(data),), ())
        medium = sources.datasets[0].medium
    else:
        stored = workspace.model(model).folder
        parts, removed = find_parts(workspace, stored.ref, adapters)
        sources = find_training_sources(store, *parts)
        sources = replace(sources, missing=(*sources.missing, *removed))
        job = tomllib.loads((stored.folder / "job.toml").read_text(encoding="utf-8"))
        if stored.runtime:  # a library of its own runs it, without a codec of ours
            medium = str(job["medium"])
        else:
            medium = Design.from_job(job).medium
            load_codec, codec_key = lambda: workspace.model(model).load().codec, stored.digest[:16]
    if len(sources.datasets) > 1:  # what one model of the line held out, another may have learned
        excluded = find_seen_documents(store, parts, sources.datasets[0], "val").ids
    folder = workspace.folder / "cache" / "copies"
    remove_old_indexes(folder, (path.name for path in (workspace.folder / "data").glob("*/*")))
    return TrainingData(
        plugins.find_part("medium", medium),
        sources.datasets,
        folder,
        sources.missing,
        excluded=excluded,
        load_codec=load_codec,
        codec_key=codec_key,
    )


def find_parts(workspace: "Workspace", ref: str, adapters: Sequence[str]) -> "tuple[list[Model], list[str]]":
    """Return a model and its adapters, and notes on the adapters that are not here any more."""
    parts, removed = [workspace.model(ref)], []
    for each in dict.fromkeys(adapters):
        try:
            parts.append(workspace.model(each))
        except GenloomError:
            removed.append(format_message("evaluate.adapter_missing", adapter=each, model=ref))
    return parts, removed


def check_medium(training_data: "TrainingData", medium: str, label: str) -> None:
    """Raise GenloomError (api.copies_other_medium) if the data hold another medium."""
    if training_data.medium.kind != medium:
        raise GenloomError(
            "api.copies_other_medium", output=label, medium=medium, data_medium=training_data.medium.kind
        )


def _measure_values(values: Iterable[Any], training_data: "TrainingData", labels: Sequence[str]) -> "list[CopyReport]":
    from genloom.trust.copies import measure_copies

    return measure_copies(list(values), training_data, labels)
