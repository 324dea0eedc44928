"""Runs: the folders of training runs."""

from dataclasses import dataclass
from pathlib import Path

from genloom.store import files, manifest
from genloom.store.clock import get_now
from genloom.store.names import make_timed_id

# Of a finished run; its checkpoints have digests of their own, and its receipt one in the ledger.
_FINAL_FILES = (
    "run.json",
    "job.toml",
    "progress.jsonl",
    "codec/**/*",
    "preferences.json",
    "practice.json",
    "noise.key",
)


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

    @property
    def is_resumable(self) -> bool:
        """Whether it is unfinished and has a job; one that was killed before it had one has nothing to resume."""
        return not self.model and (self.folder / "job.toml").is_file()


def open_run(folder: Path) -> Run:
    """Return the run in a folder. Raise GenloomError if a record of it is damaged."""
    path = folder / "run.json"
    content = manifest.read_json(path)
    if not isinstance(content.get("name"), str) or not isinstance(content.get("created"), str):
        raise manifest.damaged_error(path, "the name or time of the run is missing")
    if (done_path := folder / "done.json").is_file():
        manifest.read_json(done_path)  # raises here if it is damaged, not where runs are listed
    return Run(folder.name, content["name"], folder, content["created"])


def finish_run(folder: Path, model: str) -> None:
    """Record the model that a run has made, with the digests of the files that stay as they are."""
    found = [path for pattern in _FINAL_FILES for path in sorted(folder.glob(pattern)) if path.is_file()]
    names = [path.relative_to(folder).as_posix() for path in found]
    manifest.write_record(folder / "done.json", {"model": model}, names)


def create_run_folder(parent: Path, name: str) -> Path:
    """Create the folder of a new run of this name."""
    moment, offset = get_now(), 0
    while True:
        folder = parent / make_timed_id(moment, offset)
        with files.translate_errors(folder):
            parent.mkdir(parents=True, exist_ok=True)
            try:
                folder.mkdir()
                break
            except FileExistsError:
                offset += 1
    manifest.write_record(folder / "run.json", {"name": name, "created": moment.isoformat(timespec="microseconds")})
    return folder
