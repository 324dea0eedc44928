"""The workspace of a notebook or script: everything that was collected, trained, generated and rated."""

import getpass
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.api import progress as progress_bars
from genloom.api.datasets import Dataset
from genloom.api.models import Model, to_overrides
from genloom.api.outputs import Listing, Output, Outputs
from genloom.api.runs import Run, SavedConversation
from genloom.errors import GenloomError
from genloom.store.files import expand_home
from genloom.store.names import validate_name
from genloom.store.workspace import Workspace as Store

if TYPE_CHECKING:
    from genloom.api.doctor import Diagnosis
    from genloom.api.progress import ProgressBar
    from genloom.api.ratings import Ratings
    from genloom.collect import CollectProgress
    from genloom.exchange.importer import ImportResult
    from genloom.generate.presets import Preset
    from genloom.rate.export import Format
    from genloom.rate.ratings import Winner
    from genloom.store.ledger import Event as LedgerEvent
    from genloom.store.ledger import Ledger
    from genloom.store.recycle_bin import BinEntry, RemovableKind
    from genloom.train.events import Event


class Workspace:
    """A folder with everything that a person collected, trained, generated and rated.

    The first write creates the folder. `datasets`, `models`, `runs`, `outputs` and `conversations` list its content.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        ledger: str = "",
        rater: str = "",
        progress: bool | None = None,
    ):
        """Open a workspace.

        Parameters
        ----------
        folder
            The folder. None: that of the environment variable GENLOOM_HOME, else ./genloom-workspace.
        ledger
            URL of the ledger of ratings, e.g. postgresql://name@host/database. "": that of GENLOOM_LEDGER, else the
            workspace.
        rater
            Name of the rater. "": your user name on this machine.
        progress
            Whether bars are shown on standard error. None: in notebooks and interactive interpreters only.

        Raises
        ------
        GenloomError
            store.workspace_is_file: the folder is a file.
        """
        self.store = Store.from_option(None if folder is None else str(folder))
        self.ledger_url, self.rater, self.progress = ledger, rater, progress

    @property
    def folder(self) -> Path:
        return self.store.root

    @cached_property
    def ledger(self) -> "Ledger":
        """The ledger of ratings and promotions."""
        from genloom.store.ledger import open_ledger

        return open_ledger(self.folder, self.ledger_url)

    # Contents

    @property
    def datasets(self) -> Listing[Dataset]:
        """The newest version of every data set, by name."""
        return Listing(Dataset(self, stored) for stored in self.store.list_datasets())

    @property
    def models(self) -> Listing[Model]:
        """Every version of every model in the workspace, by name and number."""
        return Listing(Model(self, folder) for folder in self.store.list_models())

    @property
    def built_in_models(self) -> Listing[Model]:
        """Every model that comes with the package and is not replaced by one in the workspace."""
        return Listing(Model(self, folder) for folder in self.store.list_built_in_models())

    @property
    def runs(self) -> Listing[Run]:
        """Every run, oldest first."""
        return Listing(Run(self, stored) for stored in self.store.list_runs())

    @property
    def outputs(self) -> Outputs:
        """Every output, oldest first."""
        return Outputs(Output(self, record["id"], path, record) for path, record in self.store.list_records())

    @property
    def conversations(self) -> Listing[SavedConversation]:
        """Every conversation, last changed last."""
        return Listing(SavedConversation(self, stored) for stored in self.store.list_conversations())

    def dataset(self, name: str, digest: str = "") -> Dataset:
        """Return the newest version of a data set, or the one with this digest.

        Raises
        ------
        GenloomError
            store.unknown_name, store.unknown_name_near: no data set has this name.
        """
        return Dataset(self, self.store.get_dataset(name, digest))

    def model(self, name: Model | str) -> Model:
        """Return the model `notes` (its active version) or `notes/3`; some come with the package.

        Raises
        ------
        GenloomError
            store.unknown_name, store.unknown_name_near: no model has this name; store.no_such_version;
            api.not_imported: it is a pretrained model that was not imported yet.
        """
        if isinstance(name, Model):
            return name
        try:
            return Model(self, self.store.get_model(name))
        except GenloomError as error:
            from genloom.exchange.catalog import CATALOG

            if name.partition("/")[0] not in CATALOG or error.code not in (
                "store.unknown_name",
                "store.unknown_name_near",
            ):
                raise
            raise GenloomError("api.not_imported", model=name.partition("/")[0]) from None

    def output(self, id: Output | str) -> Output:
        """Return the output with this id; "last" is the newest.

        Raises
        ------
        GenloomError
            store.unknown_name, store.unknown_name_near: no output has this id; api.no_outputs: the workspace has none.
        """
        if isinstance(id, Output):
            return id
        if id == "last":
            id = self.store.get_newest_output()
            if not id:
                raise GenloomError("api.no_outputs")
        return Output(self, id, *self.store.get_output(id))

    # Data

    def collect(
        self,
        sources: str | Path | Sequence[str | Path],
        *,
        name: str = "",
        medium: str = "",
        licence: str = "",
        column: str = "",
        keep: str | Sequence[str] = (),
        near_duplicates: float | None = None,
        val: float | None = None,
        test: float | None = None,
        seed: int = 0,
        workers: int = 0,
        progress: bool | None = None,
        **options: Any,
    ) -> Dataset:
        """Collect files and folders into a data set.

        Parameters
        ----------
        sources
            Files, folders, or "builtin:shakespeare".
        name
            Name of the data set. "": the name of the one source.
        medium
            Medium to collect: text, image or that of a plug-in. "": that of most files.
        licence
            Licence of everything collected. "": as found in or beside each file, else "unknown".
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
            collect.unknown_option, collect.unsupported_option: the medium has no such option.
        """
        events = self.iter_collect(
            sources,
            name=name,
            medium=medium,
            licence=licence,
            column=column,
            keep=keep,
            near_duplicates=near_duplicates,
            val=val,
            test=test,
            seed=seed,
            workers=workers,
            **options,
        )
        with self.open_bar("Collecting", progress) as bar:
            (result,) = deque(progress_bars.show_collection(events, bar), maxlen=1)
        assert result.report is not None, "a collection ends with its report"
        return self.dataset(result.report.name, result.report.digest)

    def iter_collect(
        self, sources: str | Path | Sequence[str | Path], *, name: str = "", **options: Any
    ) -> "Iterator[CollectProgress]":
        """Yield the progress of a collection, last with its report; takes the arguments of `collect`."""
        from genloom.collect import collect

        paths = [sources] if isinstance(sources, str | Path) else list(sources)
        given = {option: value for option, value in options.items() if value is not None}
        return collect(paths, self.store, name or derive_name(paths), given)

    # Training

    def train(
        self,
        data: str,
        *,
        minutes: float = 0.0,
        params: int = 0,
        tokens: int = 0,
        steps: int = 0,
        name: str = "",
        from_: Model | str = "",
        method: str = "",
        resume: bool = False,
        recipe: str | Path | None = None,
        overrides: Mapping[str, Any] | None = None,
        seed: int = 0,
        threads: int = 0,
        save_steps: int = 0,
        progress: bool | None = None,
    ) -> Model:
        """Train a model on a data set, or fine-tune an existing one, within a time budget.

        Parameters
        ----------
        data
            Data set; with `resume`, the name or id of a run.
        minutes
            Time budget. 0: 5, if neither `tokens` nor `steps` are given.
        params
            Approximate number of parameters. 0: what the time and the data allow.
        tokens
            Number of tokens to train on; of media without tokens, samples.
        steps
            Exact number of steps; with `resume`, the step to train up to.
        name
            Name of the model. "": that of the data set.
        from_
            Model to fine-tune.
        method
            Fine-tuning method: lora (a small adapter) or full (all weights). "": lora.
        resume
            Whether a run that was stopped or killed is continued, or a finished one trained further with `steps`.
        recipe
            TOML file of job settings; `overrides` override it.
        overrides
            Job settings by their path, e.g. {"network.base.width": 384}.
        seed
            Random seed.
        threads
            Number of processor threads. 0: all cores.
        save_steps
            Number of steps between additional checkpoints. 0: only one every 30 seconds.
        progress
            Whether a bar and the estimate are shown on standard error. None: in notebooks only.

        Returns
        -------
        Model
            The new version.

        Raises
        ------
        GenloomError
            store.unknown_name, store.unknown_name_near: there is no such data set; api.method_without_model,
            api.resume_with_plan, api.resume_with_name: arguments that contradict each other; train.run_finished.
        """
        from genloom.train.events import RunResult

        events = self.iter_train(
            data,
            minutes=minutes,
            params=params,
            tokens=tokens,
            steps=steps,
            name=name,
            from_=from_,
            method=method,
            resume=resume,
            recipe=recipe,
            overrides=overrides,
            seed=seed,
            threads=threads,
            save_steps=save_steps,
        )
        result = progress_bars.run_events(events, "Training", self.is_shown(progress))
        assert isinstance(result, RunResult), "a run ends with its result"
        return self.model(result.ref)

    def iter_train(
        self,
        data: str,
        *,
        minutes: float = 0.0,
        params: int = 0,
        tokens: int = 0,
        steps: int = 0,
        name: str = "",
        from_: Model | str = "",
        method: str = "",
        resume: bool = False,
        recipe: str | Path | None = None,
        overrides: Mapping[str, Any] | None = None,
        seed: int = 0,
        threads: int = 0,
        save_steps: int = 0,
        num_samples: int = 0,
    ) -> "Generator[Event]":
        """Yield the events of a training, last a RunResult; takes the arguments of `train`.

        Closing the iterator saves a checkpoint and stops, so that `resume` continues to the same result. A new language
        model writes `num_samples` texts on the way (`TextSample`).
        """
        from genloom.settings import read_recipe
        from genloom.train.planning.auto_config import Budget
        from genloom.train.run import TrainRequest, train_model

        if method and not (from_ or resume):
            raise GenloomError("api.method_without_model")
        if resume and (minutes or tokens or params or recipe or overrides or from_ or method):
            raise GenloomError("api.resume_with_plan")
        if resume and name:
            raise GenloomError("api.resume_with_name", run=f'"{data}"' if " " in data else data)
        settings = read_recipe(expand_home(recipe)) if recipe else {}
        request = TrainRequest(
            data,
            name,
            self.model(from_).ref if from_ else "",
            method or "lora",
            Budget(minutes=minutes, params=params, tokens=tokens, seed=seed),
            {**settings, **to_overrides(overrides)},
            resume,
            steps,
            threads,
            save_steps=save_steps,
            num_samples=num_samples,
        )
        return train_model(self.store, request)

    def import_model(
        self,
        source: str | Path,
        *,
        name: str = "",
        base: str = "",
        progress: "bool | Callable[[float, str], None] | None" = None,
    ) -> Model:
        """Import a pretrained model or an adapter.

        Parameters
        ----------
        source
            Name, e.g. smollm2; folder of a Llama, Mistral, Qwen2, Qwen3 or GPT-2 model or of an adapter; or .gguf file.
        name
            Name of the model in the workspace. "": that of the source.
        base
            Model of the workspace that an adapter belongs to. "": the one that the adapter names.
        progress
            Whether a bar is shown on standard error (None: in notebooks only), or a function of the share done and the
            next step.

        Returns
        -------
        Model
            The imported model; its card has the parity with the source.

        Raises
        ------
        GenloomError
            exchange.no_such_pretrained_model, exchange.download_failed, and others for a source that cannot be read.
        """
        return self.model(self.import_with_report(source, name=name, base=base, progress=progress).folder.ref)

    def import_with_report(
        self,
        source: str | Path,
        *,
        name: str = "",
        base: str = "",
        progress: "bool | Callable[[float, str], None] | None" = None,
    ) -> "ImportResult":
        """Import a pretrained model as `import_model` does; return the parity with its source and further notes."""
        from genloom.exchange.importer import import_model

        with self.open_callback("Importing", progress) as report_progress:
            return import_model(self.store, str(source), name or None, report_progress, base)

    # Ratings

    def rate(
        self,
        output: Output | str,
        *,
        up: bool | None = None,
        stars: int | None = None,
        note: str = "",
        rater: str = "",
        is_machine: bool = False,
        id: str = "",
    ) -> "LedgerEvent":
        """Rate an output; a model can learn from it.

        Parameters
        ----------
        output
            Output, or its id; "last" is the newest.
        up
            True: thumbs up. False: thumbs down.
        stars
            Rating from 1 to 5.
        note
            Note for yourself. Nothing is learned from a note.
        rater
            Name of the rater. "": that of the workspace, else your user name.
        is_machine
            Whether the rater is a program.
        id
            Your own id of this rating; the same call with the same id records one rating.

        Returns
        -------
        Event
            The entry of the ledger; `withdraw` takes it.

        Raises
        ------
        GenloomError
            api.rating_missing, api.rating_conflict: not one of up and stars; rate.bad_value.
        """
        from genloom.rate.ratings import record_rating

        if up is not None and stars is not None:
            raise GenloomError("api.rating_conflict")
        if up is not None:
            scale, value = "thumb", 1 if up else -1
        elif stars is not None:
            scale, value = "stars", stars
        elif note:
            scale, value = "note", 0
        else:
            raise GenloomError("api.rating_missing")
        output = self.output(output)
        rater = rater or self.get_rater()
        return record_rating(self.store, self.ledger, output.id, rater, scale, value, note, is_machine, id)

    def choose(
        self,
        a: Output | str,
        b: Output | str,
        winner: "Winner",
        *,
        rater: str = "",
        is_machine: bool = False,
        id: str = "",
    ) -> "LedgerEvent":
        """Choose the better of two outputs for the same prompt; a model can learn from it.

        Parameters
        ----------
        a, b
            Outputs, or their ids.
        winner
            "a" or "b"; "tie" if they are equally good, "bad" if both are bad.
        rater, is_machine, id
            As for `rate`.

        Returns
        -------
        Event
            The entry of the ledger.

        Raises
        ------
        GenloomError
            rate.same_output, rate.different_prompts, rate.bad_winner.
        """
        from genloom.rate.ratings import record_choice

        outputs = self.output(a).id, self.output(b).id
        return record_choice(self.store, self.ledger, *outputs, winner, rater or self.get_rater(), is_machine, id)

    def ratings(self, model: Model | str = "") -> "Ratings":
        """Return the ratings and what is learned from them, about the outputs of a model in any version, or of all."""
        from genloom.api.ratings import read_ratings

        return read_ratings(self, self.model(model).name if model else "")

    def export_ratings(self, to: "Format" = "jsonl", model: Model | str = "") -> Iterator[dict[str, Any]]:
        """Yield the ratings as rows: "jsonl" is the ledger itself, "dpo" and "kto" are for TRL's trainers."""
        from genloom.rate.export import export_rows

        return export_rows(self.store, self.ledger, to, self.model(model).name if model else "")

    def withdraw(self, rating: "LedgerEvent | str") -> "LedgerEvent":
        """Withdraw a rating or choice, so that nothing is learned from it from now on; the ledger still records it.

        Versions that were trained on it before stay as they are (`find_trained_versions`); `Model.forget` retrains.

        Raises
        ------
        GenloomError
            rate.not_a_rating: the entry is neither; store.unknown_name, store.unknown_name_near: no entry has this id.
        """
        from genloom.rate.ratings import withdraw_rating

        return withdraw_rating(self.ledger, rating if isinstance(rating, str) else rating.id)

    def find_trained_versions(self, rating: "LedgerEvent | str") -> list[str]:
        """Return the versions that were trained on a rating, or are based on one that was."""
        from genloom.rate.lineage import find_trained_versions

        return find_trained_versions(self.store, self.ledger, [rating if isinstance(rating, str) else rating.id])

    def verify_ledger(self) -> "LedgerEvent | None":
        """Check the ledger from the first entry to the last, and return the last (None of an empty ledger).

        Keep its digest to detect later whether entries were cut off.

        Raises
        ------
        GenloomError
            store.entry_missing, store.entry_unchained, store.entry_changed: the ledger is not as it was written.
        """
        from genloom.rate.promotion import sync_active_version

        self.ledger.verify()
        for name in {folder.name for folder in self.store.list_models()}:
            sync_active_version(self.store, self.ledger, name)
        return self.ledger.get_head()

    def promote(self, model: str, version: int, reason: str = "", *, allow_withdrawn: bool = False) -> "LedgerEvent":
        """Activate a version of a model; the ledger records the decision.

        Parameters
        ----------
        model, version
            Its name and number.
        reason
            The reason, for the ledger.
        allow_withdrawn
            Whether the version may have been trained on ratings or documents that are withdrawn.

        Raises
        ------
        GenloomError
            store.no_such_version; rate.trained_on_withdrawn.
        """
        from genloom.rate.promotion import promote

        return promote(self.store, self.ledger, model, version, "person", reason, allow_withdrawn=allow_withdrawn)

    def rollback(self, model: str, reason: str = "") -> "LedgerEvent":
        """Reactivate the version of a model that was active before the last promotion.

        Raises
        ------
        GenloomError
            rate.no_earlier_promotion; rate.trained_on_withdrawn.
        """
        from genloom.rate.promotion import rollback

        return rollback(self.store, self.ledger, model, reason=reason)

    # The bin

    def remove(self, kind: "RemovableKind", name: str, *, force: bool = False) -> "BinEntry":
        """Move something to the bin of the workspace.

        Ratings stay in the ledger, and later versions of a model get new numbers.

        Parameters
        ----------
        kind
            "data", "models", "runs", "outputs" or "conversations".
        name
            Its name or id; notes/3 is a version of a model, notes/2a79d1 one of a data set by its digest.
        force
            Whether it is removed although others depend on it.

        Returns
        -------
        BinEntry
            What was removed, and its size.

        Raises
        ------
        GenloomError
            api.still_needed: others depend on it; the error names them and what would be lost.
            store.unknown_name, store.unknown_name_near, api.unknown_data_version: nothing has this name.
            api.built_in_removal: it comes with the package. train.run_locked: the run is being trained.
        """
        from genloom.api.removal import remove

        return remove(self, kind, name, force)

    def restore(self, name: str) -> "BinEntry":
        """Move something back from the bin, by its id or its name.

        Raises
        ------
        GenloomError
            store.unknown_name, store.unknown_name_near, store.nothing_known: it is not in the bin;
            store.restore_blocked: its place is taken; store.ambiguous_in_bin: several kinds have this name.
        """
        from genloom.api.removal import restore

        return restore(self, name)

    @property
    def bin(self) -> "Listing[BinEntry]":
        """Everything that was removed and can be restored, oldest first."""
        from genloom.store import recycle_bin

        return Listing(recycle_bin.list_entries(self.folder))

    def empty_bin(self) -> int:
        """Delete everything in the bin for good, and return how many bytes that frees."""
        from genloom.store import recycle_bin

        return recycle_bin.empty(self.folder)

    # About this machine and this package

    def doctor(self, *, verify: bool = False) -> "Diagnosis":
        """Check this machine and the workspace.

        Parameters
        ----------
        verify
            Whether every data set, model and rating is read and compared with its recorded digest.

        Returns
        -------
        Diagnosis
            Facts about the machine, torch and the workspace, and the problems found.
        """
        from genloom.api.doctor import diagnose

        return diagnose(self, verify)

    def presets(self) -> "dict[str, Preset]":
        """Return the presets of prompt and settings by name: the package's, and those of presets.toml."""
        from genloom.generate.presets import load_presets

        return load_presets(self.folder)

    def get_presets(self, names: Sequence[str]) -> "list[Preset]":
        """Return the presets of these names.

        Raises
        ------
        GenloomError
            generate.misspelt_preset, generate.no_such_preset.
        """
        from genloom.generate.presets import get_presets

        return get_presets(names, self.folder) if names else []

    def get_rater(self) -> str:
        """Return the name of the rater: that of the workspace, else your user name on this machine.

        Raises
        ------
        GenloomError
            api.unknown_user: this machine does not know your name.
        """
        try:
            return self.rater or getpass.getuser()
        except (KeyError, OSError):  # the user of a container may have no name
            raise GenloomError("api.unknown_user") from None

    def is_shown(self, progress: bool | None) -> bool:
        """Whether progress is shown, for the argument of a method."""
        chosen = self.progress if progress is None else progress
        return progress_bars.is_interactive() if chosen is None else chosen

    @contextmanager
    def open_bar(self, title: str, progress: bool | None) -> "Generator[ProgressBar]":
        """Show a bar from 0 to 1, if progress is shown."""
        with progress_bars.open_bar(title, is_silent=not self.is_shown(progress)) as bar:
            yield bar

    @contextmanager
    def open_callback(
        self, title: str, progress: "bool | Callable[[float, str], None] | None"
    ) -> "Generator[Callable[[float, str], None]]":
        """Yield a function of the share done and the next step: the one given, or that of a bar."""
        if callable(progress):
            yield progress
            return
        with self.open_bar(title, progress) as bar:
            yield bar.update

    def __repr__(self) -> str:
        return f"<Workspace {self.folder}>"


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
    except GenloomError:
        raise GenloomError("api.derived_name_invalid", name=name, source=source) from None
