"""The workspace: the one folder in which data, models, runs, outputs and conversations live."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from genloom.store import built_in, champion, conversation, files, manifest
from genloom.store.conversation import Conversation
from genloom.store.dataset import Dataset, open_dataset
from genloom.store.making import Making
from genloom.store.model_folder import ModelFolder, new_version, open_model_folder, versions_in
from genloom.store.names import checked, is_id, timed_id, unknown

Found = TypeVar("Found")


@dataclass(frozen=True)
class Run:
    """One training run: its folder holds what is needed to go on with it."""

    id: str
    name: str
    folder: Path
    created: str

    @property
    def model(self) -> str:
        """The model that came of it; empty while it is not finished."""
        done = self.folder / "done.json"
        return str(manifest.read_json(done).get("model", "")) if done.is_file() else ""


@dataclass(frozen=True)
class Workspace:
    """A folder that holds what a person collected, trained and made. It is created by the first write."""

    root: Path

    @staticmethod
    def find(option: str | None = None) -> "Workspace":
        """The folder named by the option, else by GENLOOM_HOME, else `genloom-workspace` where we stand."""
        named = option or os.environ.get("GENLOOM_HOME") or "genloom-workspace"
        root = Path(named).expanduser().absolute()
        if root.exists() and not root.is_dir():
            raise ValueError(f"{root} is a file, not a workspace. Name a folder with --workspace or GENLOOM_HOME.")
        return Workspace(root)

    # data/<name>/<digest>/

    def dataset(self, name: str, digest: str = "") -> Dataset:
        """The newest complete version of a data set, or the one with this digest.

        An unknown name gives a ValueError with the nearest known one.
        """
        name = checked(name, "data set")
        parent = self.root / "data" / name
        versions = [open_dataset(name, folder) for folder in _folders(parent) if (folder / "manifest.json").is_file()]
        if not versions:
            raise unknown("data set", name, self._names("data"), f"Collect one: genloom collect FOLDER --name {name}")
        wanted = [version for version in versions if digest in ("", version.digest)]
        if not wanted:
            raise ValueError(
                f"The version {digest[:12]} of the data set {name!r} is not in the workspace any more. "
                "Collect the same files again, or go on with the newest version."
            )
        return max(wanted, key=lambda version: (version.created, version.digest))

    def datasets(self) -> list[Dataset]:
        """The newest version of every data set, by name; damaged ones are left out and told by `faults`."""
        return _readable(self.dataset, self._names("data"))

    def new_dataset(self, name: str) -> Making[Dataset]:
        """Fill a folder with Parquet parts and, last, a `manifest.json` of one's own facts; the store adds the digests.

        Content that is there already becomes the newest version again, under the new manifest.
        """
        name = checked(name, "data set")
        parent = self.root / "data" / name

        def finish(draft: Path) -> Dataset:
            sealed = manifest.seal(draft, "manifest.json", lambda inside: True, {"name": name})
            final = parent / sealed["digest"]
            if not files.settle(draft, final):
                open_dataset(name, final).verify()
                manifest.write_json(final / "manifest.json", sealed)
            return open_dataset(name, final)

        return Making(parent, finish)

    # models/<name>/<n>/

    def model(self, ref: str) -> ModelFolder:
        """The model `notes` (the version promoted, else the newest) or `notes/3`; some come with the package.

        An unknown one gives a ValueError with the nearest.
        """
        name, slash, version = ref.partition("/")
        name = checked(name, "model")
        if slash and not (version.isascii() and version.isdigit()):
            raise ValueError(f"{ref!r} is not a model. Name one like {name!r} (the newest) or '{name}/3' (version 3).")
        known = self._versions(name)
        if not known:
            names = {*self._names("models"), *built_in.names()}
            raise unknown("model", name, names, f"Train one: genloom train {name}")
        folder = self.root / "models" / name
        wanted = int(version) if slash else champion.read(folder) or known[-1]
        if wanted not in known:
            cure = "" if slash else f" Put another one into use: genloom promote {name} --to N"
            raise ValueError(f"There is no version {wanted} of {name!r}. There is {', '.join(map(str, known))}.{cure}")
        own = folder / str(wanted)
        return open_model_folder(name, own if own.is_dir() else built_in.folder_of(name) / str(wanted))

    def models(self) -> list[ModelFolder]:
        """Every version made here, by name and number; damaged ones are left out and told by `faults`."""
        refs = [f"{n}/{version}" for n in self._names("models") for version in versions_in(self.root / "models" / n)]
        return _readable(self.model, refs)

    def models_built_in(self) -> list[ModelFolder]:
        """Every version that comes with the package, but for those whose number one made here has."""
        refs = [f"{n}/{version}" for n in built_in.names() for version in versions_in(built_in.folder_of(n))]
        return [model for model in _readable(self.model, refs) if model.folder.is_relative_to(built_in.FOLDER)]

    def models_in_use(self) -> list[ModelFolder]:
        """Of every model the version that its name alone means."""
        return _readable(self.model, sorted({*self._names("models"), *built_in.names()}))

    def new_model(self, name: str) -> Making[ModelFolder]:
        """Fill a folder with weights, codec, job and, last, a `card.json` of one's own facts: a new version."""
        name = checked(name, "model")
        return new_version(self.root / "models" / name, name, lambda: self._versions(name))

    # runs/<id>/

    def run(self, name_or_id: str) -> Run:
        """The run with this id, or the newest run of this name."""
        found = [run for run in self.runs() if name_or_id in (run.id, run.name)]
        if not found:
            raise unknown("run", name_or_id, {run.name for run in self.runs()}, "Start one: genloom train NAME")
        return found[-1]

    def runs(self) -> list[Run]:
        """Every run, oldest first; damaged ones are left out and told by `faults`."""
        complete = [f.name for f in _folders(self.root / "runs") if is_id(f.name) and (f / "run.json").is_file()]
        return _readable(self._open_run, complete)

    def new_run(self, name: str) -> Path:
        """Make the folder of a new run."""
        name, parent, moment, later = checked(name, "run"), self.root / "runs", datetime.now(UTC), 0
        while True:
            folder = parent / timed_id(moment, later)
            with files.plain_errors(folder):
                parent.mkdir(parents=True, exist_ok=True)
                try:
                    folder.mkdir()
                    break
                except FileExistsError:
                    later += 1
        manifest.write_json(folder / "run.json", {"name": name, "created": moment.isoformat(timespec="microseconds")})
        return folder

    # outputs/<day>/<id>.<ext> and <id>.json

    def record_output(self, content: str | bytes, suffix: str, record: Mapping[str, Any]) -> str:
        """Store what a model made, and how; returns its id. It exists once its record, written last, is on disk."""
        data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
        extension = suffix.lstrip(".")
        assert extension.isalnum(), suffix
        assert extension != "json", "that is the record's"
        moment, later = datetime.now(UTC), 0
        folder = self.root / "outputs" / f"{moment:%Y-%m-%d}"
        with files.locked(folder):  # an id is one output's, whatever its extension
            while any(folder.glob(f"{timed_id(moment, later)}.*")):
                later += 1
            output = timed_id(moment, later)
            path = folder / f"{output}.{extension}"
            files.write_atomic(path, data)
            facts = {"id": output, "file": path.name, "created": moment.isoformat(timespec="microseconds")}
            manifest.write_json(folder / f"{output}.json", {**record, **facts, "sha256": files.digest(path)})
        return output

    def output(self, output: str) -> tuple[Path, dict[str, Any]]:
        """Where an output lies, and its record."""
        record = self.root / "outputs" / output[:10] / f"{output}.json"
        if not is_id(output) or not record.is_file():
            raise unknown("output", output, self.outputs(), "Make one: genloom generate NAME")
        content = manifest.read_json(record)
        path = record.parent / Path(str(content.get("file", ""))).name
        if not path.is_file():
            raise manifest.damaged(record, "the output it describes is missing")
        return path, content

    def outputs(self) -> list[str]:
        """The ids of all outputs, oldest first."""
        return sorted(p.stem for p in self.root.glob("outputs/*/*.json") if is_id(p.stem))

    def records(self) -> list[tuple[Path, dict[str, Any]]]:
        """Where every output lies, and its record, oldest first; damaged ones are left out and told by `faults`."""
        return _readable(self.output, self.outputs())

    # outputs/originals/<sha256>.<ext>

    def keep_original(self, data: bytes, suffix: str) -> str:
        """Store what outputs were made from, once, so that they can be made again; returns its digest."""
        digest = hashlib.sha256(data).hexdigest()
        files.write_atomic(self.root / "outputs" / "originals" / f"{digest}{suffix}", data)
        return digest

    def original(self, digest: str) -> bytes:
        """The bytes with this digest; ValueError where they are gone or were changed."""
        found = list((self.root / "outputs" / "originals").glob(f"{Path(digest).name}.*"))
        if not found or files.digest(found[0]) != digest:
            raise ValueError(f"What this output was made from ({digest[:12]}) is gone or changed: restore a backup.")
        return found[0].read_bytes()

    # conversations/<id>.json

    def keep_conversation(self, said: Conversation) -> Conversation:
        """Write the conversation as it is now; one without an id becomes a new one. Returns it as it is kept."""
        moment, folder = datetime.now(UTC), self.root / "conversations"
        now = moment.isoformat(timespec="microseconds")
        if said.id:
            assert is_id(said.id), said.id
            kept = replace(said, changed=now)
            conversation.write(folder / f"{kept.id}.json", kept)
            return kept
        with files.locked(folder):
            later = 0
            while (folder / f"{timed_id(moment, later)}.json").exists():
                later += 1
            kept = replace(said, id=timed_id(moment, later), created=now, changed=now)
            conversation.write(folder / f"{kept.id}.json", kept)
        return kept

    def conversation(self, id_or_title: str) -> Conversation:
        """The conversation with this id, or the one changed last of those known by this title."""
        found = [c for c in self.conversations() if id_or_title in (c.id, c.known_as)]
        if not found:
            known = {c.known_as for c in self.conversations()}
            raise unknown("conversation", id_or_title, known, "Begin one: genloom chat MODEL")
        return found[-1]

    def conversations(self) -> list[Conversation]:
        """Every conversation, the one changed last at the end; damaged ones are left out and told by `faults`."""
        return sorted(_readable(self._open_conversation, self._conversations()), key=lambda c: (c.changed, c.id))

    # what is wrong, and what lies about

    def faults(self) -> list[str]:
        """Every data set, model, run, output and conversation that can't be read, each with the reason and the cure."""
        data = [_fault(self.dataset, name) for name in self._names("data")]
        versions = [f"{n}/{v}" for n in self._names("models") for v in versions_in(self.root / "models" / n)]
        models = [_fault(self.model, ref) for ref in (*versions, *self._names("models"))]
        runs = [_fault(self._open_run, f.name) for f in _folders(self.root / "runs") if (f / "run.json").is_file()]
        outputs = [_fault(self.output, output) for output in self.outputs()]
        talks = [_fault(self._open_conversation, name) for name in self._conversations()]
        found = dict.fromkeys((*data, *models, *runs, *outputs, *talks))  # a damaged version in use is told once
        return [fault for fault in found if fault is not None]

    def leftovers(self) -> list[Path]:
        """Unfinished files and folders: being written now, or left by a process that died."""
        parents = [
            self.root / "runs",
            self.root / "conversations",
            *self.root.glob("data/*"),
            *self.root.glob("models/*"),
            *self.root.glob("runs/*"),
        ]
        return [draft for parent in parents for draft in files.drafts(parent)]

    def _open_run(self, run: str) -> Run:
        path = self.root / "runs" / run / "run.json"
        content = manifest.read_json(path)
        if not isinstance(content.get("name"), str) or not isinstance(content.get("created"), str):
            raise manifest.damaged(path, "the run's name or time is missing")
        return Run(run, content["name"], path.parent, content["created"])

    def _open_conversation(self, name: str) -> Conversation:
        return conversation.read(self.root / "conversations" / f"{name}.json")

    def _conversations(self) -> list[str]:
        return sorted(p.stem for p in self.root.glob("conversations/*.json") if is_id(p.stem))

    def _names(self, kind: str) -> list[str]:
        complete = {"data": "*/manifest.json", "models": "*/card.json"}[kind]
        return [folder.name for folder in _folders(self.root / kind) if any(folder.glob(complete))]

    def _versions(self, name: str) -> list[int]:
        """Of a model, those made here and those that are built in."""
        return sorted({*versions_in(self.root / "models" / name), *versions_in(built_in.folder_of(name))})


def _folders(parent: Path) -> Iterator[Path]:
    if parent.is_dir():
        yield from sorted(p for p in parent.iterdir() if p.is_dir() and not p.name.startswith("."))


def _readable(read: Callable[[str], Found], names: list[str]) -> list[Found]:
    found = []
    for name in names:
        try:
            found.append(read(name))
        except ValueError:
            continue  # `faults` tells it
    return found


def _fault(read: Callable[[str], object], name: str) -> str | None:
    try:
        read(name)
    except ValueError as error:
        return str(error)
    return None
