"""Words around a prompt, and settings, under a name: the package has some presets, and a workspace its own."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from genloom.settings import LARGEST_RECIPE, made

HERE = Path(__file__).with_name("presets.toml")
PLACE = "{prompt}"


@dataclass(frozen=True)
class Preset:
    """Words around a prompt, and settings for the engine; what is None is left as it is."""

    about: str = ""  # for the list of presets
    prompt: str = PLACE
    negative: str | None = None
    guidance: float | None = None
    steps: int | None = None
    solver: str | None = None
    shift: float | None = None
    guided_from: float | None = None
    temperature: float | None = None

    def __post_init__(self) -> None:
        if self.prompt.count(PLACE) != 1:
            raise ValueError(f"The prompt of a preset must say once where yours stands, as {PLACE}: {self.prompt!r}.")

    def around(self, prompt: str) -> str:
        return self.prompt.replace(PLACE, prompt)

    @property
    def controls(self) -> dict[str, Any]:
        settings = (f.name for f in fields(self) if f.name not in ("about", "prompt"))
        return {name: value for name in settings if (value := getattr(self, name)) is not None}


def known(workspace: Path) -> dict[str, Preset]:
    """All presets by name; those in the workspace's `presets.toml` go before the package's own.

    Raises ValueError for a file that cannot be read and for a setting that no preset has.
    """
    found: dict[str, Preset] = {}
    for path in (HERE, workspace / HERE.name):
        if path.is_file():
            found |= {name: preset(name, table, path) for name, table in tables(path).items()}
    return found


def tables(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_RECIPE + 1)
        if len(data) > LARGEST_RECIPE:
            raise ValueError("it holds more than a million bytes")
        return tomllib.loads(data.decode("utf-8"))
    except (OSError, ValueError) as error:  # what is no UTF-8 or no TOML is a ValueError
        raise ValueError(f"{path}: these presets cannot be read: {error}. It must be a TOML file.") from None


def preset(name: str, table: Any, path: Path) -> Preset:
    try:
        if not isinstance(table, Mapping):
            raise ValueError(f"it must be a table, [{name}]")
        return made(Preset, table, name)
    except ValueError as error:
        raise ValueError(f"{path}: the preset {name!r} can't be used: {error}") from None


def named(names: Sequence[str], workspace: Path) -> list[Preset]:
    """The presets of these names; ValueError for an unknown one, with the nearest."""
    presets = known(workspace) if names else {}
    for name in names:
        if name not in presets:
            near = get_close_matches(name, presets, 1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There is {', '.join(presets)}."
            raise ValueError(f"There is no preset {name!r}. {hint}")
    return [presets[name] for name in names]
