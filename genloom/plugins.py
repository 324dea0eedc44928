"""The table of parts (networks, objectives, codecs, media …) by name, built in or from installed packages."""

import ast
import difflib
import importlib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Literal

Kind = Literal["network", "objective", "codec", "medium", "text_encoder", "features", "preparation", "check"]

_FOLDERS: dict[Kind, str] = {
    "network": "networks",
    "objective": "objectives",
    "codec": "codecs",
    "medium": "media",
    "text_encoder": "text_encoders",
    "features": "evaluate/features",
    "preparation": "collect",
    "check": "rate/checks",
}
_PACKAGE = Path(__file__).parent


def find(kind: Kind, name: str) -> ModuleType:
    """The module of a part: `find("network", "transformer")` is `genloom.networks.transformer`.

    A package adds its own with the entry-point group `genloom.networks` (`.objectives`, `.codecs`, `.media`,
    `.text_encoders`, `.evaluate.features`, `.rate.checks`); a built-in part goes before a plugin of the same name.
    Nothing else is ever imported, whatever a job says.
    Raises ValueError for an unknown name (suggests the nearest) and for a plugin that does not work.
    """
    built_in = _built_in(kind)
    if name in built_in:
        return importlib.import_module(f"{_group(kind)}.{name}")
    offers = [offer for offer in _offers(kind) if offer.name == name]
    if not offers:
        known = names(kind)
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        hint = f"Did you mean {close[0]!r}?" if close else f"There is {', '.join(map(repr, known))}."
        raise ValueError(f"There is no {kind.replace('_', ' ')} {name!r}. {hint}")
    if len(offers) > 1:
        packages = " and ".join(sorted(_package(offer) for offer in offers))
        raise ValueError(f"Both {packages} offer the {kind} {name!r}. Uninstall one of them.")
    return _load(kind, offers[0])


def names(kind: Kind) -> list[str]:
    """Every name that `find` knows, sorted."""
    return sorted({*_built_in(kind), *(offer.name for offer in _offers(kind))})


@cache
def _built_in(kind: Kind) -> list[str]:
    """The files of the kind's folder that define what such a part has to; the others there serve them."""
    folder = _PACKAGE / _FOLDERS[kind]
    files = {path.stem: path for path in folder.glob("*.py")} | {p.parent.name: p for p in folder.glob("*/__init__.py")}
    return [name for name, path in files.items() if name != "__init__" and _required(kind, name) <= _defined(path)]


def _required(kind: Kind, name: str) -> set[str]:
    if kind == "objective":  # objectives/autoregressive.py holds the class Autoregressive, and Controls of its sampler
        return {"".join(word.capitalize() for word in name.split("_")), "Controls"}
    return {
        "network": {"Config", "build"},
        "codec": {"Config", "Codec"},
        "text_encoder": {"Config", "build"},
        "medium": {"kind", "suffixes", "open", "save", "preview", "check", "pack", "unpack"},
        "features": {"KEY", "extractor", "sketch"},
        "preparation": {"claims", "sort", "settled", "read", "document", "sketch", "similarity", "columns", "sections"},
        "check": {"Config", "check"},
    }[kind]


def _defined(path: Path) -> set[str]:
    """The names a file defines at its top, read without running it: importing every network would import torch."""
    found = set()
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return found


def _group(kind: Kind) -> str:
    return "genloom." + _FOLDERS[kind].replace("/", ".")


def _offers(kind: Kind) -> list[EntryPoint]:
    return list(entry_points(group=_group(kind)))


def _load(kind: Kind, offer: EntryPoint) -> ModuleType:
    where = f"The {kind} {offer.name!r} of the package {_package(offer)}"
    try:
        part = offer.load()
    except Exception as error:  # a plugin's code: anything may happen in it
        raise ValueError(f"{where} can't be imported: {error}. Reinstall or uninstall that package.") from error
    missing = sorted(wanted for wanted in _required(kind, offer.name) if not hasattr(part, wanted))
    if missing:
        raise ValueError(f"{where} lacks {', '.join(missing)}. Upgrade or uninstall that package.")
    return part


def _package(offer: EntryPoint) -> str:
    return offer.dist.name if offer.dist else offer.value
