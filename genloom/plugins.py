"""Lookup of parts (networks, objectives, codecs, media …) by name: built in, or plugins of installed packages."""

import ast
import importlib
import re
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from genloom.capabilities import Hook
from genloom.errors import ErrorText, GenloomError, find_nearest, format_message
from genloom.old_names import upgrade_part

PartKind = Literal[
    "network",
    "objective",
    "codec",
    "medium",
    "text_encoder",
    "conditioner",
    "features",
    "preparation",
    "editing",
    "evaluation",
    "safeguards",
    "check",
    "copies",
    "classifier",
]

_FOLDERS: dict[PartKind, str] = {
    "network": "networks",
    "objective": "objectives",
    "codec": "codecs",
    "medium": "media",
    "text_encoder": "text_encoders",
    "conditioner": "conditioners",
    "features": "evaluate/features",
    "preparation": "collect",
    "editing": "generate",
    "evaluation": "evaluate",
    "safeguards": "learn/safeguards",
    "check": "rate/checks",
    "copies": "trust",
    "classifier": "trust/classifiers",
}
_PACKAGE = Path(__file__).parent


def find_part(kind: PartKind, name: str) -> ModuleType:
    """Return the module of a part: `find_part("network", "transformer")` is `genloom.networks.transformer`.

    A package adds parts through the entry-point groups `genloom.networks`, `.objectives`, `.codecs`, `.media`,
    `.text_encoders`, `.conditioners`, `.evaluate.features`, `.collect`, `.generate`, `.evaluate`,
    `.learn.safeguards`, `.rate.checks`, `.trust` and `.trust.classifiers`. A built-in part takes precedence
    over a plugin of the same name.
    No other module is imported, whatever name a job contains.
    Raise ValueError for an unknown name, suggesting the nearest, and for a plugin that does not work.
    """
    name = upgrade_part(kind, name)
    built_in = _list_built_in(kind)
    if name in built_in:
        return importlib.import_module(f"{_get_entry_point_group(kind)}.{name}")
    candidates = [entry_point for entry_point in _list_entry_points(kind) if entry_point.name == name]
    if not candidates:
        known_names = list_part_names(kind)
        if (close := find_nearest(name, known_names)) is not None:
            hint = format_message("core.did_you_mean", nearest=close)
        else:
            hint = format_message("core.available", names=", ".join(map(repr, known_names)))
        raise GenloomError("core.unknown_part", kind=kind.replace("_", " "), name=name, hint=hint)
    if len(candidates) > 1:
        packages = " and ".join(sorted(_get_package_name(entry_point) for entry_point in candidates))
        raise GenloomError("core.ambiguous_plugin", packages=packages, kind=kind.replace("_", " "), name=name)
    return _load_plugin(kind, candidates[0])


def find_medium_part(kind: PartKind, medium: str) -> ModuleType:
    """Return the part of a medium, for kinds named after media; without one, the part "default"."""
    return find_part(kind, medium if medium in list_part_names(kind) else "default")


def get_hook(kind: PartKind, name: str, hook: Hook) -> Any:
    """Return an optional name of a part's module (see `capabilities.PartModule`), or None if it does not define it."""
    return getattr(find_part(kind, name), hook, None)


def list_part_names(kind: PartKind) -> list[str]:
    """Return every name that `find_part` accepts, sorted."""
    return sorted({*_list_built_in(kind), *(entry_point.name for entry_point in _list_entry_points(kind))})


def describe_parts(kind: PartKind) -> dict[str, str]:
    """Return the first sentence of every part's docstring, by name; for a plugin that does not work, the reason."""
    docs = {name: ast.get_docstring(ast.parse(path.read_bytes())) for name, path in _list_built_in(kind).items()}
    for name in list_part_names(kind):
        if name not in docs:
            try:
                docs[name] = find_part(kind, name).__doc__
            except GenloomError as error:
                docs[name] = str(error)
    return {name: _get_first_sentence(docs[name] or "") for name in sorted(docs)}


def list_problems(*kinds: PartKind) -> list[ErrorText]:
    """List the plugins of these kinds, or of all, that cannot be used: they are broken, or their name is taken."""
    problems = []
    for kind in kinds or _FOLDERS:
        for entry_point in sorted(_list_entry_points(kind), key=lambda each: each.name):
            try:
                if upgrade_part(kind, entry_point.name) in _list_built_in(kind):
                    raise GenloomError("core.shadowed_plugin", **_label_plugin(kind, entry_point))
                find_part(kind, entry_point.name)
            except GenloomError as error:
                problems.append(ErrorText.of(error))
    return list(dict.fromkeys(problems))  # two of one name have one problem


def _get_first_sentence(text: str) -> str:
    """Return the first sentence without its full stop; one inside, as in "et al.", does not end it."""
    return re.split(r"(?<!\bal)\.(?:\s|$)", " ".join(text.split()), maxsplit=1)[0]


@cache
def _list_built_in(kind: PartKind) -> dict[str, Path]:
    """Return the modules of the kind's folder that define the required names; other modules there are helpers."""
    folder = _PACKAGE / _FOLDERS[kind]
    files = {path.stem: path for path in folder.glob("*.py")} | {
        package_file.parent.name: package_file for package_file in folder.glob("*/__init__.py")
    }
    return {
        name: path
        for name, path in files.items()
        if name != "__init__" and _list_required_names(kind, name) <= _list_defined_names(path)
    }


def _list_required_names(kind: PartKind, name: str) -> set[str]:
    if kind == "objective":  # objectives/vae_gan.py defines the classes VaeGan and SamplingParams
        return {get_objective_class_name(name), "SamplingParams"}
    return {
        "network": {"Config", "build"},
        "codec": {"Config", "Codec"},
        "text_encoder": {"Config", "build"},
        "conditioner": {"Config", "build"},
        "medium": {"kind", "suffixes", "open", "save", "preview", "check", "encode", "decode"},
        "features": {"KEY", "build_extractor", "compute_coarse_embedding"},
        "preparation": {
            "count_matching_files",
            "read",
            "build_document",
            "compute_sketches",
            "compute_similarity",
        },
        "editing": {"EditOptions", "build_edit", "unpack_edit"},
        "evaluation": {"evaluate", "compare", "BATTERY"},
        "safeguards": {"measure_safeguards"},
        "check": {"Config", "check"},
        "copies": {"find_shared"},
        "classifier": {"Config", "build"},
    }[kind]


def get_objective_class_name(objective: str) -> str:
    return "".join(word.capitalize() for word in objective.split("_"))


def _list_defined_names(path: Path) -> set[str]:
    """Return the top-level names of a file, parsed but not run: importing every network would import torch."""
    top_level_names = set()
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            top_level_names.add(node.name)
        elif isinstance(node, ast.Assign):
            top_level_names.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            top_level_names.add(node.target.id)
        elif isinstance(node, ast.ImportFrom):  # a part may take over another's Config or SamplingParams
            top_level_names.update(alias.asname or alias.name for alias in node.names)
    return top_level_names


def _get_entry_point_group(kind: PartKind) -> str:
    return "genloom." + _FOLDERS[kind].replace("/", ".")


_remembered_entry_points: dict[PartKind, list[EntryPoint]] | None = None


def remember_entry_points() -> None:
    """From now on, look only once for the plugins of a kind: reading all installed packages takes tens of milliseconds,
    too long for each of a server's requests. Packages that are installed later are found by the next process."""
    global _remembered_entry_points
    _remembered_entry_points = {}


def _list_entry_points(kind: PartKind) -> list[EntryPoint]:
    if _remembered_entry_points is None:
        return list(entry_points(group=_get_entry_point_group(kind)))
    if kind not in _remembered_entry_points:
        _remembered_entry_points[kind] = list(entry_points(group=_get_entry_point_group(kind)))
    return _remembered_entry_points[kind]


def _load_plugin(kind: PartKind, entry_point: EntryPoint) -> ModuleType:
    label = _label_plugin(kind, entry_point)
    try:
        part = entry_point.load()
    except Exception as error:  # a plugin's code may raise anything
        raise GenloomError("core.broken_plugin", **label, reason=error) from error
    missing = sorted(
        required_name
        for required_name in _list_required_names(kind, entry_point.name)
        if not hasattr(part, required_name)
    )
    if missing:
        raise GenloomError("core.incomplete_plugin", **label, missing=", ".join(missing))
    return part


def _label_plugin(kind: PartKind, entry_point: EntryPoint) -> dict[str, str]:
    return {"kind": kind.replace("_", " "), "name": entry_point.name, "package": _get_package_name(entry_point)}


def get_package(kind: PartKind, name: str) -> str:
    """Return the package of a plug-in and its version, "genloom-extras 1.0"; "" for a built-in or unknown part."""
    found = [each for each in _list_entry_points(kind) if each.name == name and name not in _list_built_in(kind)]
    return " ".join([found[0].dist.name, found[0].dist.version]) if found and found[0].dist else ""


def _get_package_name(entry_point: EntryPoint) -> str:
    return entry_point.dist.name if entry_point.dist else entry_point.value
