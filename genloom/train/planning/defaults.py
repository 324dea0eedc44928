"""What a data set is first tried with, where nobody has said; its medium knows what a model of it is made of."""

from collections.abc import Mapping
from typing import Any

from genloom import plugins
from genloom.settings import apply_overrides
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from genloom.types import DefaultRecipe


def default_tables(workspace: Workspace, dataset: Dataset, overrides: Mapping[str, str]) -> dict[str, Any]:
    """The tables of a job that say what is made, before anything is measured; `asked` is what a person has set."""
    size, override_tables = dataset.count_bytes("train"), apply_overrides({}, overrides)
    recipe = find_default_recipe(dataset.medium, size, get_part_name(override_tables, "objective"))
    objective = get_part_name(override_tables, "objective") or recipe.objectives[0]
    codec = get_part_name(override_tables, "codec") or choose_codec(workspace, recipe.codecs, size)
    network = get_part_name(override_tables, "network") or recipe.network
    text_encoder = get_part_name(override_tables, "text_encoder") or recipe.text_encoder
    return {
        "medium": dataset.medium,
        "batch_size": recipe.batch_size,
        **({"context_length": recipe.context_length} if recipe.context_length else {}),
        "codec": default_part_table("codec", codec, size),
        "objective": default_part_table("objective", objective, size),
        "network": default_part_table("network", network, size),
        **({"text_encoder": {"name": text_encoder}} if text_encoder else {}),
        "plan": dict(getattr(plugins.find_part("objective", objective), "TRAIN_DEFAULTS", {})),
    }


def find_default_recipe(medium: str, size: int, objective: str) -> DefaultRecipe:
    """What the medium says fits so many bytes of data and the objective, if one is asked for."""
    recipes = getattr(plugins.find_part("medium", medium), "default_recipes", ())
    if not recipes:
        raise ValueError(f"The medium {medium!r} does not say what a model of it is made of. Upgrade its package.")
    size_matches = [recipe for recipe in recipes if size <= recipe.up_to]
    objective_matches = [
        recipe for recipe in size_matches if not recipe.objectives or objective in ("", *recipe.objectives)
    ]
    return (objective_matches or size_matches)[0]


def get_part_name(overrides: Mapping[str, Any], part: str) -> str:
    """The name of a part that a person asks for; "" where none is."""
    table = overrides.get(part)
    return str(table.get("name", "")) if isinstance(table, Mapping) else ""


def choose_codec(workspace: Workspace, codecs: tuple[str, ...], size: int) -> str:
    """The first codec that needs no trained model, or whose model is here."""
    available_models = {active_model.name for active_model in workspace.list_active_models()}
    for name in codecs[:-1]:
        model = default_part_table("codec", name, size).get("model", "")
        if not model or model in available_models:
            return name
    return codecs[-1]


def default_part_table(kind: plugins.PartKind, name: str, size: int) -> dict[str, Any]:
    """A part by name, with the settings that it begins with for so many bytes of data."""
    default_config = getattr(plugins.find_part(kind, name), "default_config", None)
    return {"name": name, **(default_config(size) if default_config else {})}
