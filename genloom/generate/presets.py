"""Words around a prompt, and settings, under a name: the package has some presets, and a workspace its own."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from genloom.settings import MAX_RECIPE_BYTES, parse

PACKAGE_PRESETS = Path(__file__).with_name("presets.toml")
PLACEHOLDER = "{prompt}"


@dataclass(frozen=True)
class Preset:
    """Words around a prompt, and settings for the engine; what is None is left as it is."""

    description: str = ""  # for the list of presets
    prompt: str = PLACEHOLDER
    negative_prompt: str | None = None
    guidance_scale: float | None = None
    steps: int | None = None
    solver: str | None = None
    shift: float | None = None
    guidance_start: float | None = None
    temperature: float | None = None

    def __post_init__(self) -> None:
        if self.prompt.count(PLACEHOLDER) != 1:
            raise ValueError(
                f"The prompt of a preset must say once where yours stands, as {PLACEHOLDER}: {self.prompt!r}."
            )

    def format_prompt(self, prompt: str) -> str:
        return self.prompt.replace(PLACEHOLDER, prompt)

    @property
    def params(self) -> dict[str, Any]:
        settings = (f.name for f in fields(self) if f.name not in ("description", "prompt"))
        return {name: value for name in settings if (value := getattr(self, name)) is not None}


def load_presets(workspace: Path) -> dict[str, Preset]:
    """All presets by name; those in the workspace's `presets.toml` go before the package's own.

    Raises ValueError for a file that cannot be read and for a setting that no preset has.
    """
    presets: dict[str, Preset] = {}
    for path in (PACKAGE_PRESETS, workspace / PACKAGE_PRESETS.name):
        if path.is_file():
            presets |= {name: parse_preset(name, table, path) for name, table in read_preset_tables(path).items()}
    return presets


def read_preset_tables(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_RECIPE_BYTES + 1)
        if len(content) > MAX_RECIPE_BYTES:
            raise ValueError("it holds more than a million bytes")
        return tomllib.loads(content.decode("utf-8"))
    except (OSError, ValueError) as error:  # what is no UTF-8 or no TOML is a ValueError
        raise ValueError(f"{path}: these presets cannot be read: {error}. It must be a TOML file.") from None


def parse_preset(name: str, table: Any, path: Path) -> Preset:
    try:
        if not isinstance(table, Mapping):
            raise ValueError(f"it must be a table, [{name}]")
        return parse(Preset, table, name)
    except ValueError as error:
        raise ValueError(f"{path}: the preset {name!r} can't be used: {error}") from None


def get_presets(names: Sequence[str], workspace: Path) -> list[Preset]:
    """The presets of these names; ValueError for an unknown one, with the nearest."""
    presets = load_presets(workspace) if names else {}
    for name in names:
        if name not in presets:
            matches = get_close_matches(name, presets, 1)
            hint = f"Did you mean {matches[0]!r}?" if matches else f"There is {', '.join(presets)}."
            raise ValueError(f"There is no preset {name!r}. {hint}")
    return [presets[name] for name in names]
