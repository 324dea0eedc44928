"""What a data set is first tried with, where nobody has said: codec, objective, network and prompts by its medium."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genloom import plugins
from genloom.settings import overridden
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace


@dataclass(frozen=True)
class First:
    """A beginning for some objectives, the first of them where none is asked for."""

    objectives: tuple[str, ...]
    network: str
    codecs: tuple[str, ...]  # the first whose trained model, if it needs one, is at hand
    up_to: float = float("inf")  # bytes of training data
    rows: int = 8
    length: int = 256  # 0: what the codec gives has one size
    prompts: str = ""


# Bytes learn more from little text than byte pairs do, and n-gram counts under the network pay there and fit in memory.
FIRST: dict[str, tuple[First, ...]] = {
    "text": (
        First(("autoregressive",), "ngram", ("bytes",), up_to=6e6),
        First(("autoregressive", "masked"), "transformer", ("bytes",), up_to=6e6),
        First(("autoregressive", "masked"), "transformer", ("bpe",)),
    ),
    "image": (
        First(("flow",), "dit", ("learned", "pixels"), rows=64, length=0, prompts="minilm"),
        First(("autoregressive", "masked"), "transformer", ("codes",), rows=32, length=0, prompts="minilm"),
        First(("variational", "mixture", "adversarial"), "convolution", ("pixels",), rows=64, length=0),
        First((), "dit", ("learned", "pixels"), rows=64, length=0, prompts="minilm"),
    ),
}


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


def beginning(medium: str, size: int, objective: str) -> First:
    """What fits the data and the objective, if one is asked for; a plugin's medium may say it as FIRST."""
    known = FIRST.get(medium) or getattr(plugins.find("medium", medium), "FIRST", ())
    if not known:
        raise ValueError(f"The medium {medium!r} does not say what a model of it is made of. Upgrade its package.")
    large = [first for first in known if size <= first.up_to]
    fitting = [first for first in large if not first.objectives or objective in ("", *first.objectives)]
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
