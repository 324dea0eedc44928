"""Collection of files and folders into data sets of a workspace."""

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.api import progress as progress_bars
from genloom.api.arguments import drop_progress, to_list
from genloom.errors import GenloomError
from genloom.store.consent import read_persons
from genloom.store.files import expand_home
from genloom.store.names import validate_name

if TYPE_CHECKING:
    from genloom.api.datasets import Dataset
    from genloom.api.workspace import Workspace
    from genloom.collect import CollectProgress


def collect(
    workspace: "Workspace",
    sources: str | Path | Sequence[str | Path],
    *,
    name: str = "",
    medium: str = "",
    licence: str = "",
    consent: str | Path = "",
    persons: str | Sequence[str] = (),
    column: str = "",
    keep: str | Sequence[str] = (),
    near_duplicates: float | None = None,
    val: float | None = None,
    test: float | None = None,
    seed: int = 0,
    workers: int = 0,
    on: str = "",
    progress: bool | None = None,
    **options: Any,
) -> "Dataset":
    """Collect files and folders into a data set.

    Parameters
    ----------
    sources
        Files, folders, texts in a bucket (s3://bucket/folder), or "builtin:shakespeare".
    name
        Name of the data set. "": the name of the one source.
    medium
        Medium to collect: text, image or that of a plug-in. "": that of most files.
    licence
        Licence of everything collected. "": as found in or beside each file, else "unknown".
    consent
        TOML file with the consents of the persons whose voice, face, likeness or words are collected. "": none.
    persons
        What of persons is in the data: voice, face, likeness, words; or none. (): not stated.
    column
        Column or key of the text or caption, in csv, jsonl and parquet. "": guessed.
    keep
        Columns or keys to keep with each document, as conditions: numbers, text or arrays.
    near_duplicates
        Similarity from which a document is a duplicate, 0.6 to 1; 0 removes exact copies only. None: by medium.
    val, test
        Shares held out for validation and for the final test. None: 0.05.
    seed
        Random seed of the split.
    workers
        Number of processes. 0: by the number of cores.
    on
        Cluster whose machines read and clean: ray, or ray://HOST:10001. "": this machine. The result is the same.
    progress
        Whether a bar is shown on standard error. None: in notebooks only.
    options
        Options of the medium: of text scrub, min_quality, languages, chunk_chars; of images size, background.

    Returns
    -------
    Dataset
        The new version of the data set; its `report` says what was kept and what was not.

    Raises
    ------
    GenloomError
        api.several_sources_without_name; collect.no_files, collect.nothing_readable: nothing could be read;
        collect.unknown_option, collect.unsupported_option: the medium has no such option; store.bad_consent,
        store.bad_persons; cluster.not_installed, cluster.no_answer, cluster.source_not_shared: of `on`.
    """
    events = iter_collect(**drop_progress(locals(), "options"))
    with workspace.open_bar("Collecting", progress) as bar:
        (result,) = deque(progress_bars.show_collection(events, bar), maxlen=1)
    assert result.report is not None, "a collection ends with its report"
    return workspace.dataset(result.report.name, result.report.digest)


def iter_collect(
    workspace,
    sources: str | Path | Sequence[str | Path],
    *,
    name: str = "",
    consent: str | Path = "",
    persons: str | Sequence[str] = (),
    on: str = "",
    **options: Any,
) -> "Iterator[CollectProgress]":
    """Yield the progress of a collection, last with its report; takes the arguments of `collect`."""
    from genloom.cluster import open_optional_cluster
    from genloom.collect import collect

    paths = [sources] if isinstance(sources, str | Path) else list(sources)
    given = {option: value for option, value in options.items() if value is not None}
    stated = read_persons(to_list(persons), expand_home(consent) if consent else None)
    if on and options.get("workers"):
        raise GenloomError("api.workers_with_cluster", count=options["workers"], address=on)
    name = name or derive_name(paths)
    with open_optional_cluster(on) as cluster:
        yield from collect(paths, workspace.store, name, given, stated, cluster)


def derive_name(sources: Sequence[str | Path]) -> str:
    """Return the name of a data set from its one source.

    Raises
    ------
    GenloomError
        api.several_sources_without_name; api.derived_name_invalid: a name has letters, digits, blanks, -, _ and .
    """
    if len(sources) != 1:
        raise GenloomError("api.several_sources_without_name")
    source = str(sources[0])
    name = source.removeprefix("builtin:") if source.startswith("builtin:") else Path(source).resolve().stem
    try:
        return validate_name(name, "data set")
    except GenloomError as problem:
        raise GenloomError("api.derived_name_invalid", problem=problem, source=source) from None
