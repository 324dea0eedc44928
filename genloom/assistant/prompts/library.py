"""The prompts of a workspace, in versions that stay, and those that come with the package."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from genloom.assistant.prompts.prompt import Prompt
from genloom.assistant.prompts.prompt_file import SUFFIX, format_prompt, read_prompt
from genloom.errors import GenloomError
from genloom.store.clock import get_now
from genloom.store.files import expand_home, lock_folder, write_atomic
from genloom.store.manifest import load_readable
from genloom.store.names import unknown_name_error, validate_name

BUILT_IN_FOLDER = Path(__file__).parent / "builtin"
FOLDER = "prompts"  # of a workspace


@dataclass(frozen=True)
class PromptLibrary:
    """The folder `prompts` of a workspace: `prompts/NAME/1.toml`, `2.toml` …, and the built-in prompts."""

    root: Path  # of the workspace

    @property
    def folder(self) -> Path:
        return self.root / FOLDER

    def list_names(self) -> list[str]:
        """List the names of all prompts, sorted."""
        return sorted({*self._list_own_names(), *list_built_in_names()})

    def list_prompts(self) -> list[Prompt]:
        """List the newest version of every prompt, by name; skip damaged ones."""
        return load_readable(self.get, self.list_names())

    def list_versions(self, name: str) -> list[int]:
        """List the numbers of a prompt's versions; 0 is the built-in one."""
        folder = self.folder / name
        files = folder.glob(f"*{SUFFIX}") if folder.is_dir() else ()
        numbers = [int(path.stem) for path in files if path.stem.isascii() and path.stem.isdigit()]
        return sorted([*([0] if name in list_built_in_names() else []), *numbers])

    def get(self, ref: str) -> Prompt:
        """Return the prompt `email` (its newest version), `email/2`, or that of a file, `./email.toml`.

        Raises
        ------
        GenloomError
            store.unknown_name and its like: no prompt has this name; assistant.no_such_prompt_version;
            core.unreadable_file, assistant.bad_prompt_file: the file cannot be read.
        """
        if is_path(ref):
            return read_prompt(expand_home(ref))
        name, slash, version = ref.partition("/")
        name = validate_name(name, "prompt")
        known = self.list_versions(name)
        if not known:
            raise unknown_name_error("prompt", name, self.list_names(), "Make one: genloom prompts new NAME")
        if not slash:
            return self._load(name, known[-1])
        if not (version.isascii() and version.isdigit()) or int(version) not in known:
            versions = ", ".join(map(str, known))
            raise GenloomError("assistant.no_such_prompt_version", name=name, version=version, known=versions)
        return self._load(name, int(version))

    def save(self, prompt: Prompt, name: str, owner: str, note: str = "", parent: str = "") -> Prompt:
        """Save a prompt as the next version of its name, and return it; one without a change stays the newest."""
        name = validate_name(name, "prompt")
        with lock_folder(self.folder):
            known = self.list_versions(name)
            newest = self._load(name, known[-1]) if known else None
            if newest is not None and newest.version and is_same(newest, prompt):
                return newest
            version = (known[-1] if known else 0) + 1
            saved = replace(
                prompt,
                name=name,
                version=version,
                owner=prompt.owner or owner,
                created=get_now().isoformat(timespec="seconds"),
                note=note,
                parent=parent,
            )
            write_atomic(self.folder / name / f"{version}{SUFFIX}", format_prompt(saved))
        return saved

    def list_faults(self) -> list[str]:
        """List the error of every prompt that cannot be read."""
        return list(self._iter_faults())

    def _iter_faults(self) -> Iterator[str]:
        for name in self._list_own_names():
            for version in self.list_versions(name):
                try:
                    self._load(name, version)
                except GenloomError as error:
                    yield str(error)

    def _load(self, name: str, version: int) -> Prompt:
        if version == 0:
            return load_built_in(name)
        return read_prompt(self.folder / name / f"{version}{SUFFIX}", name, version)

    def _list_own_names(self) -> list[str]:
        folders = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted(f.name for f in folders if f.is_dir() and any(f.glob(f"[0-9]*{SUFFIX}")))


def is_path(ref: str) -> bool:
    """Return whether a reference names a file, and not a prompt of the library."""
    return ref.endswith(SUFFIX)


def is_same(first: Prompt, second: Prompt) -> bool:
    """Return whether two prompts do the same, and have the same description and tests."""
    return (first.digest, first.description, first.tests) == (second.digest, second.description, second.tests)


@cache
def list_built_in_names() -> list[str]:
    """List the names of the prompts that come with the package."""
    return sorted(path.stem for path in BUILT_IN_FOLDER.glob(f"*{SUFFIX}"))


@cache
def load_built_in(name: str) -> Prompt:
    """Return a prompt that comes with the package."""
    return read_prompt(BUILT_IN_FOLDER / f"{name}{SUFFIX}")
