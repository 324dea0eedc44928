"""The workspace: the folder that contains data, models, runs, outputs and conversations."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from genloom.errors import GenloomError, format_message
from genloom.store import active_version, built_in, conversation, files, manifest, records, recycle_bin
from genloom.store.atomic_folder import StagedFolder
from genloom.store.clock import get_now
from genloom.store.conversation import Conversation
from genloom.store.dataset import Dataset, open_dataset
from genloom.store.model_folder import ModelFolder, create_version, list_versions, open_model_folder
from genloom.store.names import is_timed_id, make_timed_id, unknown_id_error, unknown_name_error, validate_name

Entry = TypeVar("Entry")

_NEWEST_FILE = "newest.json"  # in outputs/: the id and number of the newest output
_RESERVED_SUFFIX = ".reserved"  # of a file that holds the id of an output, with the process that generates it


@dataclass(frozen=True)
class Run:
    """One training run; its folder contains everything needed to resume it."""

    id: str
    name: str
    folder: Path
    created: str

    @property
    def model(self) -> str:
        """The ref of the model that it produced; "" while it is not finished."""
        done_path = self.folder / "done.json"
        return str(manifest.read_json(done_path).get("model", "")) if done_path.is_file() else ""


@dataclass(frozen=True)
class Workspace:
    """A folder with everything that a person collected, trained and generated. The first write creates it."""

    root: Path

    @staticmethod
    def from_option(option: str | None = None) -> "Workspace":
        """Return the folder named by the option, by GENLOOM_HOME, or `genloom-workspace` in the current folder."""
        location = option or os.environ.get("GENLOOM_HOME") or "genloom-workspace"
        root = files.expand_home(location).absolute()
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
            open_dataset(name, folder) for folder in _list_folders(parent) if (folder / "manifest.json").is_file()
        ]
        if not versions:
            cure = f"Collect one: genloom collect FOLDER --name {name}"
            raise self._unknown_name_error("data", name, self._list_names("data"), cure)
        matches = [version for version in versions if digest in ("", version.digest)]
        if not matches:
            raise GenloomError("store.data_version_gone", digest=digest[:12], name=name)
        return max(matches, key=lambda version: (version.sequence, version.created, version.digest))

    def list_datasets(self) -> list[Dataset]:
        """List the newest version of every data set, by name; skip damaged ones (see `list_faults`)."""
        return _load_readable(self.get_dataset, self._list_names("data"))

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
            raise self._unknown_name_error("models", name, names, f"Train one: genloom train {name}")
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
            name, own_folder if own_folder.is_dir() else built_in.model_folder_path(name) / str(version_number)
        )

    def list_models(self) -> list[ModelFolder]:
        """List every version in the workspace, by name and number; skip damaged ones (see `list_faults`)."""
        refs = [
            f"{n}/{version}" for n in self._list_names("models") for version in list_versions(self.root / "models" / n)
        ]
        return _load_readable(self._load_version, refs)

    def list_built_in_models(self) -> list[ModelFolder]:
        """List every version that comes with the package and is not replaced by one in the workspace."""
        refs = [
            f"{n}/{version}" for n in built_in.list_names() for version in list_versions(built_in.model_folder_path(n))
        ]
        return [model for model in _load_readable(self.get_model, refs) if model.folder.is_relative_to(built_in.FOLDER)]

    def list_active_models(self) -> list[ModelFolder]:
        """List the active version of every model."""
        return _load_readable(self.get_model, sorted({*self._list_names("models"), *built_in.list_names()}))

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
        return _load_readable(self._load_run, run_ids)

    def create_run(self, name: str) -> Path:
        """Create the folder of a new run."""
        name, parent, moment, offset = validate_name(name, "run"), self.root / "runs", get_now(), 0
        while True:
            folder = parent / make_timed_id(moment, offset)
            with files.translate_errors(folder):
                parent.mkdir(parents=True, exist_ok=True)
                try:
                    folder.mkdir()
                    break
                except FileExistsError:
                    offset += 1
        manifest.write_json(folder / "run.json", {"name": name, "created": moment.isoformat(timespec="microseconds")})
        return folder

    # outputs/<day>/<id>.<ext> and <id>.json

    def reserve_output(self) -> str:
        """Return an id for an output that is still being generated; `save_output` or `release_output` ends this."""
        with files.lock_folder(self.root / "outputs"):
            moment = get_now()
            folder = self.root / "outputs" / f"{moment:%Y-%m-%d}"
            folder.mkdir(exist_ok=True)
            output = _find_free_id(folder, moment)
            (folder / f"{output}{_RESERVED_SUFFIX}").write_text(str(os.getpid()))
        return output

    def release_output(self, output: str) -> None:
        """Give up a reserved id that no output was stored under."""
        self._get_record_path(output).with_suffix(_RESERVED_SUFFIX).unlink(missing_ok=True)

    def release_dead_outputs(self) -> None:
        """Give up the ids that processes had reserved which have died since."""
        for path in self.root.glob(f"outputs/*/*{_RESERVED_SUFFIX}"):
            with suppress(OSError, ValueError):  # another process does the same
                if not files.is_process_alive(int(path.read_text())):
                    path.unlink()

    def save_output(self, content: str | bytes, suffix: str, record: Mapping[str, Any], reserved: str = "") -> str:
        """Store an output and its record, and return its id: that which was reserved, or a new one.

        It exists once its record, written last, is on disk.
        """
        data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
        extension = suffix.lstrip(".")
        assert extension.isalnum(), suffix
        assert not reserved or is_timed_id(reserved), reserved
        moment = get_now()
        folder = self.root / "outputs" / (reserved[:10] or f"{moment:%Y-%m-%d}")
        with files.lock_folder(folder.parent):
            output = reserved or _find_free_id(folder, moment)
            # The record is <id>.json, so that the value of a medium of JSON files has another name.
            path = folder / (f"{output}.value.json" if extension == "json" else f"{output}.{extension}")
            files.write_atomic(path, data)
            identity = {
                "id": output,
                "file": path.name,
                "created": moment.isoformat(timespec="microseconds"),
                "sha256": files.hash_file(path),
                "sequence": self._count_output(output),
            }
            full_record: dict[str, Any] = json.loads(json.dumps({**record, **identity}))  # as it will be read
            full_record["digest"] = records.hash_output_record(full_record)
            manifest.write_json(folder / f"{output}.json", full_record)
            if reserved:
                self.release_output(output)
        return output

    def _count_output(self, output: str) -> int:
        """Return the number of a new output, one more than that of the newest, and make it the newest."""
        sequence = self._read_newest_output()[1] + 1
        manifest.write_json(self.root / "outputs" / _NEWEST_FILE, {"id": output, "sequence": sequence})
        return sequence

    def _read_newest_output(self) -> tuple[str, int]:
        """Return the id and number of the output that was generated last, whatever the clock says; "" and 0 if none."""
        try:
            newest = manifest.read_json(self.root / "outputs" / _NEWEST_FILE)
            if self.has_output(str(newest["id"])):
                return newest["id"], int(newest["sequence"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # of an earlier version, removed or damaged
        ranked = [(record.get("sequence", 0), record["id"]) for _, record in self.list_records()]
        return max(ranked, default=(0, ""))[::-1]

    def get_output(self, output: str) -> tuple[Path, dict[str, Any]]:
        """Return the path of an output and its record."""
        record = self._get_record_path(output)
        if not (is_timed_id(output) and record.is_file()):
            raise self._unknown_name_error("outputs", output, self.list_outputs(), "Make one: genloom generate NAME")
        content = manifest.read_json(record)
        is_intact = records.has_digest(content)
        if problem := records.find_output_problem(content, is_intact):
            raise manifest.damaged_error(record, problem)
        if content["id"] != output or ("digest" in content and not is_intact):
            raise GenloomError("store.output_record_changed", path=record)
        path = record.parent / Path(content["file"]).name
        if not path.is_file():
            raise manifest.damaged_error(record, "the output it describes is missing")
        return path, content

    def verify_output(self, output: str) -> tuple[Path, dict[str, Any]]:
        """Return the path of an output and its record; ValueError if the file is not as it was generated."""
        path, record = self.get_output(output)
        verify_output(path, record)
        return path, record

    def has_output(self, output: str) -> bool:
        """Return whether there is an output with this id."""
        return is_timed_id(output) and self._get_record_path(output).is_file()

    def get_newest_output(self) -> str:
        """Return the id of the output that was generated last; "" if there is none."""
        return self._read_newest_output()[0]

    def _get_record_path(self, output: str) -> Path:
        return Path(f"{self.root}/outputs/{output[:10]}/{output}.json")

    def list_outputs(self) -> list[str]:
        """List the ids of all outputs, oldest first."""
        return sorted(p.stem for p in self.root.glob("outputs/*/*.json") if is_timed_id(p.stem))

    def list_records(self) -> list[tuple[Path, dict[str, Any]]]:
        """List the path and record of every output, oldest first; skip damaged ones (see `list_faults`)."""
        return _load_readable(self.get_output, self.list_outputs())

    # outputs/originals/<sha256>.<ext>

    def save_original(self, data: bytes, suffix: str) -> str:
        """Store the source of edited outputs once, so that they can be replayed; return its digest."""
        digest = hashlib.sha256(data).hexdigest()
        files.write_atomic(self.root / "outputs" / "originals" / f"{digest}{suffix}", data)
        return digest

    def load_original(self, digest: str) -> bytes:
        """Return the bytes with this digest; ValueError if they are missing or changed."""
        matches = list((self.root / "outputs" / "originals").glob(f"{Path(digest).name}.*"))
        if not matches or files.hash_file(matches[0]) != digest:
            raise GenloomError("store.original_gone", digest=digest[:12])
        return matches[0].read_bytes()

    # conversations/<id>.json

    def save_conversation(self, chat: Conversation) -> Conversation:
        """Write the conversation and return it as saved; one without an id gets a new one."""
        moment, folder = get_now(), self.root / "conversations"
        now = moment.isoformat(timespec="microseconds")
        if chat.id:
            assert is_timed_id(chat.id), chat.id
            saved_chat = replace(chat, changed=now)
            conversation.write_conversation(folder / f"{saved_chat.id}.json", saved_chat)
            return saved_chat
        with files.lock_folder(folder):
            offset = 0
            while (folder / f"{make_timed_id(moment, offset)}.json").exists():
                offset += 1
            saved_chat = replace(chat, id=make_timed_id(moment, offset), created=now, changed=now)
            conversation.write_conversation(folder / f"{saved_chat.id}.json", saved_chat)
        return saved_chat

    def get_conversation(self, id_or_title: str) -> Conversation:
        """Return the conversation with this id, or the last changed one with this title."""
        matches = [c for c in self.list_conversations() if id_or_title in (c.id, c.display_title)]
        if not matches:
            known_titles = {c.display_title for c in self.list_conversations()}
            raise self._unknown_name_error("conversations", id_or_title, known_titles, "Begin one: genloom chat MODEL")
        return matches[-1]

    def list_conversations(self) -> list[Conversation]:
        """List every conversation, last changed last; skip damaged ones (see `list_faults`)."""
        return sorted(
            _load_readable(self._load_conversation, self._list_conversation_ids()), key=lambda c: (c.changed, c.id)
        )

    # damage and leftovers

    def list_faults(self) -> list[str]:
        """List the error of every data set, model, run, output and conversation that cannot be read, and of the bin."""
        data = [_find_fault(self.get_dataset, name) for name in self._list_names("data")]
        versions = [f"{n}/{v}" for n in self._list_names("models") for v in list_versions(self.root / "models" / n)]
        models = [_find_fault(self._load_version, ref) for ref in versions]
        models += [_find_fault(self.get_model, name) for name in self._list_names("models")]
        runs = [
            _find_fault(self._load_run, f.name) for f in _list_folders(self.root / "runs") if (f / "run.json").is_file()
        ]
        outputs = [_find_fault(self.get_output, output) for output in self.list_outputs()]
        chats = [_find_fault(self._load_conversation, name) for name in self._list_conversation_ids()]
        removed = _find_fault(lambda _: recycle_bin.list_entries(self.root), "bin")
        # a damaged active version is listed once
        faults = dict.fromkeys((*data, *models, *runs, *outputs, *chats, removed))
        return [fault for fault in faults if fault is not None]

    def list_leftovers(self) -> list[Path]:
        """List unfinished files and folders: being written now, or left by a process that died."""
        parents = [
            self.root / "runs",
            self.root / "conversations",
            *self.root.glob("data/*"),
            *self.root.glob("models/*"),
            *self.root.glob("runs/*"),
        ]
        reserved = sorted(self.root.glob(f"outputs/*/*{_RESERVED_SUFFIX}"))
        return [draft for parent in parents for draft in files.list_drafts(parent)] + reserved

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
        path = self.root / "runs" / run / "run.json"
        content = manifest.read_json(path)
        if not isinstance(content.get("name"), str) or not isinstance(content.get("created"), str):
            raise manifest.damaged_error(path, "the name or time of the run is missing")
        if (done_path := path.parent / "done.json").is_file():
            manifest.read_json(done_path)  # raises here if it is damaged, not where runs are listed
        return Run(run, content["name"], path.parent, content["created"])

    def _load_conversation(self, name: str) -> Conversation:
        return conversation.read_conversation(self.root / "conversations" / f"{name}.json")

    def _list_conversation_ids(self) -> list[str]:
        return sorted(p.stem for p in self.root.glob("conversations/*.json") if is_timed_id(p.stem))

    def _list_names(self, kind: str) -> list[str]:
        pattern = {"data": "*/manifest.json", "models": "*/card.json"}[kind]
        return [folder.name for folder in _list_folders(self.root / kind) if any(folder.glob(pattern))]

    def _list_versions(self, name: str) -> list[int]:
        """List the versions of a model in the workspace and in the package."""
        return sorted({*list_versions(self.root / "models" / name), *list_versions(built_in.model_folder_path(name))})


def verify_output(path: Path, record: Mapping[str, Any]) -> None:
    """Raise ValueError if the file of an output is not the one that its record describes."""
    if files.hash_file(path) != record["sha256"]:
        raise GenloomError("store.output_changed", path=path, id=record.get("id"))


def _find_free_id(folder: Path, moment: datetime) -> str:
    """Return an id of this moment that no output in the folder of the day has, and that is not reserved."""
    offset = 0
    # Looking for every suffix would read the whole folder, which may have a hundred thousand files.
    while any((folder / f"{make_timed_id(moment, offset)}{suffix}").exists() for suffix in (".json", _RESERVED_SUFFIX)):
        offset += 1
    return make_timed_id(moment, offset)


def _list_folders(parent: Path) -> Iterator[Path]:
    if parent.is_dir():
        yield from sorted(p for p in parent.iterdir() if p.is_dir() and not p.name.startswith("."))


def _load_readable(load: Callable[[str], Entry], names: list[str]) -> list[Entry]:
    entries = []
    for name in names:
        try:
            entries.append(load(name))
        except ValueError:
            continue  # reported by `list_faults`
    return entries


def _find_fault(load: Callable[[str], object], name: str) -> str | None:
    try:
        load(name)
    except ValueError as error:
        return str(error)
    return None
