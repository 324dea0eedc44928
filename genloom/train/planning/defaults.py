"""The default parts and settings of a model for a data set, from the recipes of its medium."""

from collections.abc import Mapping, Sequence
from typing import Any

from genloom import plugins
from genloom.errors import GenloomError
from genloom.media.abilities import get_ability
from genloom.model import Design
from genloom.program import name_program
from genloom.settings import apply_overrides
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from genloom.text_format import format_bytes
from genloom.types import DefaultRecipe


def default_tables(workspace: Workspace, dataset: Dataset, overrides: Mapping[str, str]) -> dict[str, Any]:
    """Return the tables of a job that describe the model, before any measurement; `overrides` choose the parts."""
    size, override_tables = dataset.count_bytes("train"), apply_overrides({}, overrides)
    persons = tuple(map(str, dataset.manifest.get("persons") or ()))
    recipe = find_default_recipe(dataset.medium, size, get_part_name(override_tables, "objective"), persons)
    objective = get_part_name(override_tables, "objective") or recipe.objectives[0]
    codec = get_part_name(override_tables, "codec") or choose_codec(workspace, recipe, size)
    network = get_part_name(override_tables, "network") or recipe.network
    text_encoder = get_part_name(override_tables, "text_encoder") or recipe.text_encoder
    tables: dict[str, Any] = {
        "medium": dataset.medium,
        "batch_size": recipe.batch_size,
        **({"context_length": recipe.context_length} if recipe.context_length else {}),
        "codec": default_part_table("codec", codec, size),
        "objective": default_part_table("objective", objective, size),
        "network": default_part_table("network", network, size),
        **({"text_encoder": {"name": text_encoder}} if text_encoder else {}),
        "plan": dict(plugins.get_hook("objective", objective, "TRAIN_DEFAULTS") or {}),
    }
    other_parts = {"codec": codec != recipe.codecs[0], "network": network != recipe.network}
    other_parts["objective"] = objective not in recipe.objectives[:1]
    own_settings = {name: table for name, table in recipe.settings.items() if not other_parts.get(name)}
    return {**tables, **{name: {**tables.get(name, {}), **table} for name, table in own_settings.items()}}


def find_default_recipe(medium: str, size: int, objective: str, persons: Sequence[str] = ()) -> DefaultRecipe:
    """Return the medium's first recipe for this many bytes of data, what of persons they hold, and the objective.

    The objective "" is any. One that none of them names, as of a plug-in, gets the last, which is the most general.
    """
    recipes = get_ability(plugins.find_part("medium", medium), "default_recipes")
    if not recipes:
        raise GenloomError("train.no_recipe", medium=medium)
    size_matches = [each for each in recipes if size <= each.max_bytes and each.persons in ("", *persons)]
    return next(
        (recipe for recipe in size_matches if not recipe.objectives or objective in ("", *recipe.objectives)),
        size_matches[-1],
    )


def get_part_name(overrides: Mapping[str, Any], part: str) -> str:
    """Return the name of a part in the overrides; "" if it is not set."""
    table = overrides.get(part)
    return str(table.get("name", "")) if isinstance(table, Mapping) else ""


def choose_codec(workspace: Workspace, recipe: DefaultRecipe, size: int) -> str:
    """Return the first codec whose trained model, if it needs one, is in the workspace."""
    available_models = {active_model.name for active_model in workspace.list_active_models()}
    own_settings = recipe.settings.get("codec", {})  # of the first codec
    for name in recipe.codecs[:-1]:
        model = {**default_part_table("codec", name, size), **own_settings}.get("model", "")
        if not model or model in available_models:
            return name
        own_settings = {}
    return recipe.codecs[-1]


def default_part_table(kind: plugins.PartKind, name: str, size: int) -> dict[str, Any]:
    """Return the table of a part with its default settings for this many bytes of data."""
    default_config = plugins.get_hook(kind, name, "default_config")
    return {"name": name, **(default_config(size) if default_config else {})}


def describe_parts(design: Design, dataset: Dataset, overrides: Mapping[str, str]) -> str:
    """Return which parts a model is made of and why, for people."""
    names = {"codec": design.codec, "network": design.network, "objective": design.objective}
    parts = [f"{kind} {name}{' (set)' * (f'{kind}.name' in overrides)}" for kind, name in names.items()]
    plural = get_ability(plugins.find_part("medium", dataset.medium), "plural")
    amount = f"{format_bytes(dataset.count_bytes('train'))} of {plural}"
    return name_program(f"Parts: {', '.join(parts)}; by default those for {amount}. To choose others: genloom parts")
