"""Presets: named prompt templates with settings, from the package and from the workspace."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom import plugins
from genloom.errors import GenloomError, find_nearest
from genloom.generate.conditions import GuidanceConfig
from genloom.old_names import upgrade_fields, upgrade_params
from genloom.settings import MAX_RECIPE_BYTES, list_options, parse_settings

if TYPE_CHECKING:
    from genloom.model import Model

PACKAGE_PRESETS = Path(__file__).with_name("presets.toml")
PLACEHOLDER = "{prompt}"


@dataclass(frozen=True)
class Preset:
    """A prompt template and sampling parameters."""

    name: str = ""  # its key in the file
    description: str = ""  # for the list of presets
    prompt: str = PLACEHOLDER
    medium: str = ""  # of the models that it is for; "": any
    params: Mapping[str, Any] = field(default_factory=dict)  # of the sampler and of guidance, checked with a request

    def __post_init__(self) -> None:
        if self.prompt.count(PLACEHOLDER) != 1:
            raise GenloomError("generate.bad_preset_prompt", placeholder=PLACEHOLDER, prompt=self.prompt)

    def format_prompt(self, prompt: str) -> str:
        return self.prompt.replace(PLACEHOLDER, prompt)


def load_presets(workspace: Path) -> dict[str, Preset]:
    """Return all presets by name; those in the workspace's `presets.toml` override the package's own.

    Raises ValueError for a file that cannot be read, and for an unknown setting.
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
            raise ValueError(f"larger than {MAX_RECIPE_BYTES:,} bytes")
        return tomllib.loads(content.decode("utf-8"))
    except (OSError, ValueError) as error:  # invalid UTF-8 or TOML is a ValueError
        raise GenloomError("generate.unreadable_presets", path=path, reason=error) from None


def parse_preset(name: str, table: Any, path: Path) -> Preset:
    try:
        if not isinstance(table, Mapping):
            raise ValueError(f"it must be a table, [{name}].")
        known, table = [f.name for f in fields(Preset)], upgrade_fields(Preset, table)
        params = upgrade_params({key: value for key, value in table.items() if key not in known})
        own = {key: value for key, value in table.items() if key in known}
        if unknown := sorted(params.keys() - list_known_params()):
            hint = find_nearest(unknown[0], list_known_params())
            raise GenloomError("generate.unknown_preset_param", param=unknown[0], nearest=hint or "description")
        return parse_settings(Preset, {**own, "name": name, "params": {**params, **own.get("params", {})}}, name)
    except ValueError as error:
        raise GenloomError("generate.bad_preset", path=path, name=name, reason=error) from None


@cache
def list_known_params() -> frozenset[str]:
    """Return the names of the sampling parameters of all objectives, and of guidance."""
    classes = [plugins.find_part("objective", name).SamplingParams for name in plugins.list_part_names("objective")]
    return frozenset(each.name for cls in (*classes, GuidanceConfig) for each in list_options(cls))


def check_presets(presets: Sequence[Preset], model: "Model") -> None:
    """Raise GenloomError if a preset is for models of another medium, or sets what the model's sampler does not have.

    The words of a preset would garble the prompts of another medium.
    """
    from genloom.generate.sampling_params import list_request_params

    known = list_request_params(model)
    for preset in presets:
        if preset.medium not in ("", model.design.medium):
            raise GenloomError("generate.preset_of_other_medium", name=preset.name, medium=preset.medium)
        if unknown := sorted(preset.params.keys() - set(known)):
            raise GenloomError("generate.preset_of_other_sampler", name=preset.name, param=unknown[0], model=model.ref)


def get_presets(names: Sequence[str], workspace: Path) -> list[Preset]:
    """Return the presets of these names; raises ValueError for an unknown one, naming the closest."""
    presets = load_presets(workspace) if names else {}
    for name in names:
        if name not in presets:
            if match := find_nearest(name, presets):
                raise GenloomError("generate.misspelt_preset", name=name, nearest=match)
            raise GenloomError("generate.no_such_preset", name=name, known=", ".join(presets))
    return [presets[name] for name in names]
