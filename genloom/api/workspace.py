"""The workspace of a notebook or script: everything that was collected, trained, generated and rated."""

import getpass
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from genloom.api import (
    cards,
    collecting,
    consent,
    planning,
    policy,
    removal,
    tasks,
    tools,
    tracing,
    training,
    verification,
    voices,
    writing,
)
from genloom.api import classification as classifying
from genloom.api import code as coding
from genloom.api import copies as copying
from genloom.api import design as designing
from genloom.api import knowledge as knowing
from genloom.api import progress as progress_bars
from genloom.api import ratings as rating
from genloom.api import speech as speaking
from genloom.api import transcription as transcribing
from genloom.api import upscaling as enlarging
from genloom.api.argument_types import check_arguments
from genloom.api.datasets import Dataset
from genloom.api.doctor import diagnose
from genloom.api.keys import Keys
from genloom.api.models import Model
from genloom.api.notebook import Listing
from genloom.api.outputs import Output, Outputs
from genloom.api.prompts import Prompts
from genloom.api.runs import Run, SavedConversation
from genloom.errors import GenloomError
from genloom.store.workspace import Workspace as Store

if TYPE_CHECKING:
    from genloom.api.progress import ProgressBar
    from genloom.generate.presets import Preset
    from genloom.store.ledger import Ledger
    from genloom.store.recycle_bin import BinEntry


@check_arguments
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
            The folder, or its address on a storage such as s3://bucket/lab. None: that of the environment variable
            GENLOOM_HOME, else ./genloom-workspace.
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
            store.workspace_is_file: the folder is a file; store.storage_scheme, store.storage_package,
            store.storage_missing, store.storage_failed: the storage cannot be used.
        """
        self.store = Store.from_option(None if folder is None else str(folder))
        self.ledger_url, self.rater, self.progress = ledger, rater, progress

    @property
    def folder(self) -> Path:
        return self.store.root

    @property
    def address(self) -> str:
        """The address by which other machines find the workspace: that of its storage, or its path."""
        from genloom.store.mirror import find_workspace_address

        return find_workspace_address(self.folder)

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
            from genloom.exchange.catalog import list_pretrained_names

            if name.partition("/")[0] not in list_pretrained_names() or error.code not in (
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
            store.unknown_id, store.nothing_known: no output has this id; api.no_outputs: the workspace has none.
        """
        if isinstance(id, Output):
            return id
        if id == "last":
            id = self.store.get_newest_output()
            if not id:
                raise GenloomError("api.no_outputs")
        return Output(self, id, *self.store.get_output(id))

    # Verbs, by the modules that describe them

    collect = collecting.collect
    iter_collect = collecting.iter_collect
    train = training.train
    iter_train = training.iter_train
    import_model = training.import_model
    import_with_report = training.import_with_report
    plan = planning.plan_run

    rate = rating.rate
    choose = rating.choose
    ratings = rating.read_ratings
    export_ratings = rating.export_ratings
    withdraw = rating.withdraw
    find_trained_versions = rating.find_trained_versions
    verify_ledger = rating.verify_ledger
    promote = rating.promote
    rollback = rating.rollback

    write = writing.write
    translate = tasks.translate
    summarize = tasks.summarize
    classify = classifying.classify
    design = designing.create_designs
    speak = speaking.speak
    iter_speech = speaking.iter_speech
    list_voices = voices.list_voices
    transcribe = transcribing.transcribe
    upscale = enlarging.upscale

    remove = removal.remove
    restore = removal.restore
    doctor = diagnose

    verify = verification.verify
    iter_verify = verification.iter_verify
    open_knowledge = knowing.open_knowledge
    ask = knowing.ask
    embed = knowing.embed
    knowledge = property(knowing.list_knowledge)
    classifiers = property(classifying.list_classifiers)

    copies = copying.copies
    trace = tracing.trace
    card = cards.build_card
    check_content = policy.check_content
    create_policy = policy.create_policy
    content_policy = property(policy.get_content_policy)
    list_consents = consent.list_consents
    withdraw_consent = consent.withdraw_consent
    open_toolbox = tools.open_toolbox
    write_code = coding.write_code_in
    fill_code = coding.fill_code_in

    @property
    def prompts(self) -> Prompts:
        """The prompt library: prompts with versions and tests, and those of the package."""
        return Prompts(self)

    @property
    def keys(self) -> Keys:
        """The keys that mark and sign outputs, and the certificates of others that are trusted."""
        return Keys(self)

    @property
    def bin(self) -> "Listing[BinEntry]":
        """Everything that was removed and can be restored, oldest first."""
        from genloom.store import recycle_bin

        return Listing(recycle_bin.list_entries(self.folder))

    def empty_bin(self) -> int:
        """Delete everything in the bin for good, and return how many bytes that frees."""
        from genloom.store import recycle_bin

        return recycle_bin.empty_bin(self.folder)

    # Presets, the rater and progress

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
