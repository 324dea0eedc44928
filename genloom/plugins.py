"""The table of parts (networks, objectives, codecs, media …) by name, built in or from installed packages."""

import ast
import difflib
import importlib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Literal

from genloom.old_names import upgrade_part

PartKind = Literal["network", "objective", "codec", "medium", "text_encoder", "features", "preparation", "check"]

_FOLDERS: dict[PartKind, str] = {
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


def find_part(kind: PartKind, name: str) -> ModuleType:
    """The module of a part: `find("network", "transformer")` is `genloom.networks.transformer`.

    A package adds its own with the entry-point group `genloom.networks` (`.objectives`, `.codecs`, `.media`,
    `.text_encoders`, `.evaluate.features`, `.rate.checks`); a built-in part goes before a plugin of the same name.
    Nothing else is ever imported, whatever a job says.
    Raises ValueError for an unknown name (suggests the nearest) and for a plugin that does not work.
    """
    name = upgrade_part(kind, name)
    built_in = _list_built_in(kind)
    if name in built_in:
        return importlib.import_module(f"{_entry_point_group(kind)}.{name}")
    candidates = [entry_point for entry_point in _list_entry_points(kind) if entry_point.name == name]
    if not candidates:
        known_names = part_names(kind)
        close_matches = difflib.get_close_matches(name, known_names, n=1, cutoff=0.6)
        hint = (
            f"Did you mean {close_matches[0]!r}?" if close_matches else f"There is {', '.join(map(repr, known_names))}."
        )
        raise ValueError(f"There is no {kind.replace('_', ' ')} {name!r}. {hint}")
    if len(candidates) > 1:
        packages = " and ".join(sorted(_package_name(entry_point) for entry_point in candidates))
        raise ValueError(f"Both {packages} offer the {kind} {name!r}. Uninstall one of them.")
    return _load_plugin(kind, candidates[0])


def part_names(kind: PartKind) -> list[str]:
    """Every name that `find` knows, sorted."""
    return sorted({*_list_built_in(kind), *(entry_point.name for entry_point in _list_entry_points(kind))})


@cache
def _list_built_in(kind: PartKind) -> list[str]:
    """The files of the kind's folder that define what such a part has to; the others there serve them."""
    folder = _PACKAGE / _FOLDERS[kind]
    files = {path.stem: path for path in folder.glob("*.py")} | {
        package_file.parent.name: package_file for package_file in folder.glob("*/__init__.py")
    }
    return [
        name
        for name, path in files.items()
        if name != "__init__" and _required_names(kind, name) <= _defined_names(path)
    ]


def _required_names(kind: PartKind, name: str) -> set[str]:
    if kind == "objective":  # objectives/autoregressive.py holds the class Autoregressive, and Controls of its sampler
        return {"".join(word.capitalize() for word in name.split("_")), "SamplingParams"}
    return {
        "network": {"Config", "build"},
        "codec": {"Config", "Codec"},
        "text_encoder": {"Config", "build"},
        "medium": {"kind", "suffixes", "open", "save", "preview", "check", "encode", "decode"},
        "features": {"KEY", "build_extractor", "coarse_embedding"},
        "preparation": {
            "match_count",
            "select",
            "resolve",
            "read",
            "build_document",
            "compute_sketches",
            "similarity",
            "build_columns",
            "render_sections",
        },
        "check": {"Config", "check"},
    }[kind]


def _defined_names(path: Path) -> set[str]:
    """The names a file defines at its top, read without running it: importing every network would import torch."""
    top_level_names = set()
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            top_level_names.add(node.name)
        elif isinstance(node, ast.Assign):
            top_level_names.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            top_level_names.add(node.target.id)
    return top_level_names


def _entry_point_group(kind: PartKind) -> str:
    return "genloom." + _FOLDERS[kind].replace("/", ".")


def _list_entry_points(kind: PartKind) -> list[EntryPoint]:
    return list(entry_points(group=_entry_point_group(kind)))


def _load_plugin(kind: PartKind, entry_point: EntryPoint) -> ModuleType:
    label = f"The {kind} {entry_point.name!r} of the package {_package_name(entry_point)}"
    try:
        part = entry_point.load()
    except Exception as error:  # a plugin's code: anything may happen in it
        raise ValueError(f"{label} can't be imported: {error}. Reinstall or uninstall that package.") from error
    missing = sorted(
        required_name for required_name in _required_names(kind, entry_point.name) if not hasattr(part, required_name)
    )
    if missing:
        raise ValueError(f"{label} lacks {', '.join(missing)}. Upgrade or uninstall that package.")
    return part


def _package_name(entry_point: EntryPoint) -> str:
    return entry_point.dist.name if entry_point.dist else entry_point.value
