"""The workspace: the folder that contains data, models, runs, outputs and conversations."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genloom.errors import ErrorText, GenloomError, format_message
from genloom.program import quote_name
from genloom.store import (
    active_version,
    built_in,
    conversation,
    files,
    manifest,
    mirror,
    output_files,
    output_index,
    recycle_bin,
)
from genloom.store.atomic_folder import StagedFolder
from genloom.store.clock import get_now
from genloom.store.conversation import Conversation
from genloom.store.dataset import Dataset, open_dataset
from genloom.store.manifest import load_readable
from genloom.store.model_folder import ModelFolder, create_version, list_versions, open_model_folder
from genloom.store.names import is_timed_id, make_timed_id, unknown_id_error, unknown_name_error, validate_name
from genloom.store.run import Run, create_run_folder, open_run


@dataclass(frozen=True)
class Workspace:
    """A folder with everything that a person collected, trained and generated. The first write creates it."""

    root: Path

    @staticmethod
    def from_option(option: str | None = None) -> "Workspace":
        """Return the folder named by the option, by GENLOOM_HOME, or `genloom-workspace` in the current folder.

        It may be the URL of a storage of objects, such as s3://bucket/workspace, which a folder of the cache mirrors.
        """
        if option is not None and not option.strip():
            raise GenloomError("store.workspace_empty")
        location = option or os.environ.get("GENLOOM_HOME") or "genloom-workspace"
        if "://" in location:
            return Workspace(mirror.open_mirror(location).folder)
        root = files.expand_home(location).absolute()
        mirror.reopen_mirror(root)
        if root.exists() and not root.is_dir():
            raise GenloomError("store.workspace_is_file", path=root)
        try:
            str(root).encode()
        except UnicodeEncodeError:
            raise GenloomError("store.workspace_name", path=os.fsencode(root)) from None
        return Workspace(root)

    # data/<name>/<digest>/

    def get_dataset(self, name: str, digest: str = "") -> Dataset:
        """Return the newest complete version of a data set, or the one with this digest.

        Raise ValueError for an unknown name, suggesting the nearest.
        """
        name = validate_name(name, "data set")
        parent = self.root / "data" / name
        versions = [
            open_dataset(name, folder) for folder in _list_folders(parent) if (folder / "manifest.json").exists()
        ]
        if not versions:
            cure = f"Collect one: genloom collect FOLDER --name {quote_name(name)}"
            raise self._unknown_name_error("data", name, self._list_names("data"), cure)
        matches = [version for version in versions if digest in ("", version.digest)]
        if not matches:
            raise GenloomError("store.data_version_gone", digest=digest[:12], name=name)
        return max(matches, key=lambda version: (version.sequence, version.created, version.digest))

    def list_datasets(self) -> list[Dataset]:
        """List the newest version of every data set, by name; skip damaged ones (see `list_faults`)."""
        return load_readable(self.get_dataset, self._list_names("data"))

    def create_dataset(self, name: str) -> StagedFolder[Dataset]:
        """Create a version: the caller writes Parquet parts and, last, a `manifest.json`; the store adds the digests.

        Content that exists already becomes the newest version again, under the new manifest.
        """
        name = validate_name(name, "data set")
        parent = self.root / "data" / name

        def finish(draft: Path) -> Dataset:
            paths = [folder / "manifest.json" for folder in _list_folders(parent)]
            sequence = 1 + max((manifest.read_sequence(path) for path in paths if path.is_file()), default=0)
            facts = {"name": name, "sequence": sequence}
            content = manifest.finalize_manifest(draft, "manifest.json", lambda inside: True, facts)
            final = parent / content["digest"]
            if not files.commit_folder(draft, final):
                mirror.refresh_workspace(final)
                open_dataset(name, final).verify()
                manifest.write_json(final / "manifest.json", content)
            return open_dataset(name, final)

        return StagedFolder(parent, finish)

    # models/<name>/<n>/

    def get_model(self, ref: str) -> ModelFolder:
        """Return the model `notes` (the active version, else the newest) or `notes/3`; some come with the package.

        Raise ValueError for an unknown name, suggesting the nearest.
        """
        name, slash, version = ref.partition("/")
        name = validate_name(name, "model")
        if slash and not (version.isascii() and version.isdigit()):
            raise GenloomError("store.bad_model_ref", ref=ref, name=name)
        known_versions = self._list_versions(name)
        if not known_versions:
            names = {*self._list_names("models"), *built_in.list_names()}
            raise self._unknown_name_error("models", name, names, f"Train one: genloom train {quote_name(name)}")
        folder = self.root / "models" / name
        version_number = int(version) if slash else active_version.read_active_version(folder) or known_versions[-1]
        if version_number not in known_versions:
            if entry := recycle_bin.find_entry(self.root, "models", name, version_number):
                raise GenloomError("store.in_bin", name=f"{name}/{version_number}", entry=entry.name)
            cure = "" if slash else " " + format_message("store.promote_another", name=name)
            known = ", ".join(map(str, known_versions))
            raise GenloomError("store.no_such_version", version=version_number, name=name, known=known, cure=cure)
        own_folder = folder / str(version_number)
        return open_model_folder(
            name, own_folder if own_folder.is_dir() else built_in.get_model_folder_path(name) / str(version_number)
        )

    def list_models(self) -> list[ModelFolder]:
        """List every version in the workspace, by name and number; skip damaged ones (see `list_faults`)."""
        refs = [
            f"{n}/{version}" for n in self._list_names("models") for version in list_versions(self.root / "models" / n)
        ]
        return load_readable(self._load_version, refs)

    def list_built_in_models(self) -> list[ModelFolder]:
        """List every version that comes with the package and is not replaced by one in the workspace."""
        refs = [
            f"{n}/{version}"
            for n in built_in.list_names()
            for version in list_versions(built_in.get_model_folder_path(n))
        ]
        return [model for model in load_readable(self.get_model, refs) if model.folder.is_relative_to(built_in.FOLDER)]

    def list_active_models(self) -> list[ModelFolder]:
        """List the active version of every model."""
        return load_readable(self.get_model, sorted({*self._list_names("models"), *built_in.list_names()}))

    def create_model(self, name: str) -> StagedFolder[ModelFolder]:
        """Create a version: the caller writes weights, codec, job and, last, a `card.json`."""
        name = validate_name(name, "model")
        return create_version(
            self.root / "models" / name,
            name,
            lambda: [*self._list_versions(name), *recycle_bin.list_removed_versions(self.root, name)],
        )

    # runs/<id>/

    def get_run(self, name_or_id: str) -> Run:
        """Return the run with this id, or the newest run with this name."""
        matches = [run for run in self.list_runs() if name_or_id in (run.id, run.name)]
        if not matches:
            self._require_no_damaged_run(name_or_id)
            known_names = {run.name for run in self.list_runs()}
            raise self._unknown_name_error("runs", name_or_id, known_names, "Start one: genloom train NAME")
        return matches[-1]

    def _require_no_damaged_run(self, name_or_id: str) -> None:
        """Raise ValueError, naming the file and the cure, if a run with this id or name is there but is damaged."""
        for folder in _list_folders(self.root / "runs"):
            try:
                name = manifest.read_json(folder / "run.json").get("name")
            except (OSError, ValueError):
                name = ""  # damaged itself: it is known by its id only
            if name_or_id in (folder.name, name) and (folder / "run.json").is_file():
                self._load_run(folder.name)

    def list_runs(self) -> list[Run]:
        """List every run, oldest first; skip damaged ones (see `list_faults`)."""
        run_ids = [
            f.name for f in _list_folders(self.root / "runs") if is_timed_id(f.name) and (f / "run.json").is_file()
        ]
        return load_readable(self._load_run, run_ids)

    def create_run(self, name: str) -> Path:
        """Create the folder of a new run."""
        return create_run_folder(self.root / "runs", validate_name(name, "run"))

    # outputs/<day>/<id>.<ext> and <id>.json, outputs/originals/<sha256>.<ext>

    @property
    def _outputs(self) -> Path:
        return self.root / "outputs"

    def reserve_output(self) -> str:
        """Return an id for an output that is still being generated; `save_output` or `release_output` ends this."""
        return output_files.reserve_id(self._outputs)

    def release_output(self, output: str) -> None:
        """Give up a reserved id that no output was stored under."""
        output_files.release_id(self._outputs, output)

    def release_dead_outputs(self) -> None:
        """Give up the ids that processes had reserved which have died since."""
        output_files.release_dead_ids(self._outputs)

    def save_output(
        self, content: str | bytes | Path, suffix: str, record: Mapping[str, Any], reserved: str = ""
    ) -> str:
        """Store an output and its record, and return its id: that which was reserved, or a new one.

        A file on the same disk, for content that is too long for the memory, is moved.

        It exists once its record, written last, is on disk.
        """
        return output_files.write_output(self._outputs, content, suffix, record, reserved)

    def get_output(self, output: str) -> tuple[Path, dict[str, Any]]:
        """Return the path of an output and its record."""
        if not self.has_output(output):
            raise self._unknown_name_error("outputs", output, self.list_outputs(), "Make one: genloom generate NAME")
        return output_files.read_output(self._outputs, output)

    def verify_output(self, output: str) -> tuple[Path, dict[str, Any]]:
        """Return the path of an output and its record; ValueError if the file is not as it was generated."""
        path, record = self.get_output(output)
        output_files.verify_output(path, record)
        return path, record

    def has_output(self, output: str) -> bool:
        """Return whether there is an output with this id."""
        return output_files.has_record(self._outputs, output)

    def get_newest_output(self) -> str:
        """Return the id of the output that was generated last; "" if there is none."""
        return output_files.find_newest(self._outputs)[0]

    def list_outputs(self) -> list[str]:
        """List the ids of all outputs, oldest first."""
        return output_files.list_ids(self._outputs)

    def list_records(self) -> list[tuple[Path, dict[str, Any]]]:
        """List the path and record of every output, oldest first; skip damaged ones (see `list_faults`)."""
        return output_files.list_records(self._outputs)

    def find_output(self, digest: str) -> str:
        """Return the id of the newest output whose file has this SHA-256; "" if there is none."""
        return output_index.find_output(self.root, digest)

    def save_original(self, data: bytes, suffix: str) -> str:
        """Store the source of edited outputs once, so that they can be replayed; return its digest."""
        return output_files.save_original(self._outputs, data, suffix)

    def load_original(self, digest: str) -> bytes:
        """Return the bytes with this digest; ValueError if they are missing or changed."""
        return output_files.load_original(self._outputs, digest)

    # conversations/<id>.json

    def save_conversation(self, chat: Conversation, can_copy: bool = False) -> Conversation:
        """Write the conversation and return it as saved; one without an id gets a new one.

        With `can_copy`, one that was changed on disk since it was read does, too: no turn of the other is lost.
        """
        moment, folder = get_now(), self.root / "conversations"
        now = moment.isoformat(timespec="microseconds")
        with files.lock_folder(folder):
            if chat.id and not (can_copy and self._is_changed(chat)):
                assert is_timed_id(chat.id), chat.id
                saved_chat = replace(chat, changed=now)
                conversation.write_conversation(folder / f"{saved_chat.id}.json", saved_chat)
                return saved_chat
            offset = 0
            while (folder / f"{make_timed_id(moment, offset)}.json").exists():
                offset += 1
            saved_chat = replace(chat, id=make_timed_id(moment, offset), created=now, changed=now)
            conversation.write_conversation(folder / f"{saved_chat.id}.json", saved_chat)
        return saved_chat

    def _is_changed(self, chat: Conversation) -> bool:
        """Return whether the conversation on disk is another than the one that was read or saved last."""
        try:
            return self._load_conversation(chat.id).changed != chat.changed
        except (OSError, ValueError):  # it was removed, or is damaged
            return False

    def get_conversation(self, id_or_title: str) -> Conversation:
        """Return the conversation with this id, or the last changed one with this title."""
        matches = [c for c in self.list_conversations() if id_or_title in (c.id, c.display_title)]
        if not matches:
            if id_or_title in self._list_conversation_ids():
                return self._load_conversation(id_or_title)  # raises: it is damaged
            known_titles = {c.display_title for c in self.list_conversations()}
            raise self._unknown_name_error("conversations", id_or_title, known_titles, "Begin one: genloom chat MODEL")
        return matches[-1]

    def list_conversations(self) -> list[Conversation]:
        """List every conversation, last changed last; skip damaged ones (see `list_faults`)."""
        return sorted(
            load_readable(self._load_conversation, self._list_conversation_ids()), key=lambda c: (c.changed, c.id)
        )

    # damage and leftovers

    def list_faults(self, kind: str = "") -> list[ErrorText]:
        """List the error of every data set, model, run, output and conversation that cannot be read, and of the bin.

        With a `kind`, the name of a folder of the workspace, only what is in that.
        """

        def is_asked(name: str) -> bool:
            return kind in ("", name)

        faults: list[ErrorText | None] = []
        if is_asked("data"):
            faults += [_find_fault(self.get_dataset, name) for name in self._list_names("data")]
        if is_asked("models"):
            versions = [f"{n}/{v}" for n in self._list_names("models") for v in list_versions(self.root / "models" / n)]
            faults += [_find_fault(self._load_version, ref) for ref in versions]
            faults += [_find_fault(self.get_model, name) for name in self._list_names("models")]
        if is_asked("runs"):
            runs = [folder.name for folder in _list_folders(self.root / "runs") if (folder / "run.json").is_file()]
            faults += [_find_fault(self._load_run, name) for name in runs]
        if is_asked("outputs"):
            faults += [_find_fault(self.get_output, output) for output in self.list_outputs()]
        if is_asked("conversations"):
            faults += [_find_fault(self._load_conversation, name) for name in self._list_conversation_ids()]
        if is_asked("bin"):
            faults.append(_find_fault(lambda _: recycle_bin.list_entries(self.root), "bin"))
        # a damaged active version is listed once
        return [fault for fault in dict.fromkeys(faults) if fault is not None]

    def list_leftovers(self) -> list[Path]:
        """List unfinished files and folders: being written now, or left by a process that died."""
        parents = [
            self.root / "runs",
            self.root / "conversations",
            *self.root.glob("data/*"),
            *self.root.glob("models/*"),
            *self.root.glob("runs/*"),
        ]
        drafts = [draft for parent in parents for draft in files.list_drafts(parent)]
        return drafts + output_files.list_reservations(self._outputs)

    def _unknown_name_error(
        self, kind: recycle_bin.RemovableKind, name: str, known_names: Iterable[str], cure: str
    ) -> GenloomError:
        """Return the error for a name of nothing in the workspace, which may be in the bin."""
        if entry := recycle_bin.find_entry(self.root, kind, name):
            return GenloomError("store.in_bin", name=name, entry=entry.name)
        if kind == "outputs":
            return unknown_id_error("output", name, known_names, "genloom list outputs", cure)
        noun = {"data": "data set"}.get(kind, kind.removesuffix("s"))
        return unknown_name_error(noun, name, known_names, cure)

    def _load_version(self, ref: str) -> ModelFolder:
        """Load a version that is in the workspace, without a look at the others."""
        name, _, version = ref.partition("/")
        return open_model_folder(validate_name(name, "model"), self.root / "models" / name / version)

    def _load_run(self, run: str) -> Run:
        return open_run(self.root / "runs" / run)

    def _load_conversation(self, name: str) -> Conversation:
        return conversation.read_conversation(self.root / "conversations" / f"{name}.json")

    def _list_conversation_ids(self) -> list[str]:
        return sorted(p.stem for p in self.root.glob("conversations/*.json") if is_timed_id(p.stem))

    def _list_names(self, kind: str) -> list[str]:
        pattern = {"data": "[!.]*/manifest.json", "models": "[!.]*/card.json"}[kind]  # drafts begin with a dot
        return [folder.name for folder in _list_folders(self.root / kind) if any(folder.glob(pattern))]

    def _list_versions(self, name: str) -> list[int]:
        """List the versions of a model in the workspace and in the package."""
        return sorted(
            {*list_versions(self.root / "models" / name), *list_versions(built_in.get_model_folder_path(name))}
        )


def _list_folders(parent: Path) -> Iterator[Path]:
    if parent.is_dir():
        yield from sorted(p for p in parent.iterdir() if p.is_dir() and not p.name.startswith("."))


def _find_fault(load: Callable[[str], object], name: str) -> ErrorText | None:
    try:
        load(name)
    except ValueError as error:
        return ErrorText.of(error)
    return None
