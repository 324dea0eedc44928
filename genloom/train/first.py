"""What a data set is first tried with, where nobody has said; its medium knows what a model of it is made of."""

from collections.abc import Mapping
from typing import Any

from genloom import plugins
from genloom.settings import overridden
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from genloom.types import Beginning


def first_tables(workspace: Workspace, dataset: Dataset, asked: Mapping[str, str]) -> dict[str, Any]:
    """The tables of a job that say what is made, before anything is measured; `asked` is what a person has set."""
    size, wanted = dataset.size("train"), overridden({}, asked)
    first = beginning(dataset.medium, size, named(wanted, "objective"))
    objective = named(wanted, "objective") or first.objectives[0]
    codec = named(wanted, "codec") or at_hand(workspace, first.codecs, size)
    network = named(wanted, "network") or first.network
    prompts = named(wanted, "prompts") or first.prompts
    return {
        "medium": dataset.medium,
        "rows": first.rows,
        **({"length": first.length} if first.length else {}),
        "codec": suited("codec", codec, size),
        "objective": suited("objective", objective, size),
        "network": suited("network", network, size),
        **({"prompts": {"name": prompts}} if prompts else {}),
        "plan": dict(getattr(plugins.find("objective", objective), "PLAN", {})),
    }


def beginning(medium: str, size: int, objective: str) -> Beginning:
    """What the medium says fits so many bytes of data and the objective, if one is asked for."""
    known = getattr(plugins.find("medium", medium), "beginnings", ())
    if not known:
        raise ValueError(f"The medium {medium!r} does not say what a model of it is made of. Upgrade its package.")
    large = [each for each in known if size <= each.up_to]
    fitting = [each for each in large if not each.objectives or objective in ("", *each.objectives)]
    return (fitting or large)[0]


def named(asked: Mapping[str, Any], part: str) -> str:
    """The name of a part that a person asks for; "" where none is."""
    table = asked.get(part)
    return str(table.get("name", "")) if isinstance(table, Mapping) else ""


def at_hand(workspace: Workspace, codecs: tuple[str, ...], size: int) -> str:
    """The first codec that needs no trained model, or whose model is here."""
    known = {used.name for used in workspace.models_in_use()}
    for name in codecs[:-1]:
        model = suited("codec", name, size).get("model", "")
        if not model or model in known:
            return name
    return codecs[-1]


def suited(kind: plugins.Kind, name: str, size: int) -> dict[str, Any]:
    """A part by name, with the settings that it begins with for so many bytes of data."""
    begin = getattr(plugins.find(kind, name), "suited", None)
    return {"name": name, **(begin(size) if begin else {})}
