"""The provenance of a model's weights: the licence, notices and hub name that every export carries on."""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from genloom.errors import GenloomError
from genloom.store.licences import describe_licence, find_conflicts, to_spdx
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace

HUB_URL = "https://huggingface.co/"
NOTICES = "notices"  # the folder of a model with the licence files of its source
_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
_NOTICE_FILE = re.compile(r"(licen[cs]e|notice|copying|use_policy)[\w.-]*", re.ASCII | re.IGNORECASE)
_MAX_NOTICES, _MAX_NOTICE_BYTES = 16, 1 << 20


@dataclass(frozen=True)
class Provenance:
    """The origin of a model that is exported."""

    ref: str
    licence: str
    pretrained: str = ""  # the name of the pretrained model; "": it was trained from scratch
    base_model: str = ""  # the hub name of what the model derives from; "": not known
    data: tuple[str, ...] = ()  # the data sets that it was trained on, with their licences
    adapters: tuple[str, ...] = ()  # the imported adapters in it, with their licences
    missing_base: str = ""  # the ref of a base model that the workspace does not hold any more
    notices: Mapping[str, Path] = field(default_factory=dict)  # the licence files, by their names in an export
    licences: tuple[str, ...] = ()  # of everything that it was made of, as found

    @property
    def base_fields(self) -> dict[str, Any]:
        """The fields of a GGUF file about the pretrained model."""
        if not self.pretrained:
            return {}
        fields: dict[str, Any] = {"count": 1, "0.name": self.base_model.rpartition("/")[2] or self.pretrained}
        if self.base_model:
            fields |= {"0.organization": self.base_model.partition("/")[0], "0.repo_url": HUB_URL + self.base_model}
        return {f"general.base_model.{key}": value for key, value in fields.items()}


def read_provenance(workspace: Workspace, folder: ModelFolder) -> Provenance:
    """Return the origin of a model, from its own card and the cards of the models that it was tuned from."""
    lineage, missing_base = [folder], ""
    while parent_ref := lineage[-1].parent_ref:
        parent = find_model(workspace, parent_ref)
        if parent is None or parent in lineage or parent.digest != lineage[-1].card["parents"][0].get("digest"):
            missing_base = parent_ref
            break
        lineage.append(parent)
    source: dict[str, Any] = lineage[-1].card.get("source", {})
    adapters = [f.card["source"] for f in lineage[:-1] if "source" in f.card]
    data = {entry["name"]: sorted(entry.get("licences", {})) for f in lineage if (entry := f.card.get("data"))}
    licences = {licence for names in data.values() for licence in names or ("unknown",)}
    licence = next(iter(licences)) if len(licences) == 1 and not missing_base else "other"
    licences |= {str(each["licence"]) for each in (source, *adapters) if "licence" in each}
    licences |= {"unknown"} if missing_base else set()
    return Provenance(
        folder.ref,
        source.get("licence", licence),
        source.get("name", ""),
        source.get("repository") or source.get("base_model", ""),
        tuple(f"{name} ({', '.join(names) or 'unknown licence'})" for name, names in data.items()),
        tuple(f"{adapter['name']} (licence: {adapter['licence']})" for adapter in adapters),
        missing_base,
        {
            path.name if f is lineage[-1] else f"{f.name}-{path.name}": path
            for f in lineage
            for path in (f.folder / NOTICES).glob("*")
        },
        tuple(sorted(licences)),
    )


def find_model(workspace: Workspace, ref: str) -> ModelFolder | None:
    """Return the model, or None if the workspace does not hold it."""
    try:
        return workspace.get_model(ref)
    except GenloomError:
        return None


def write_card(provenance: Provenance, folder: Path, library: str, note: str = "") -> None:
    """Write the README.md of an export and the licence files of its origin; `library` is the hub's name of the reader.

    The README begins with the metadata that the Hugging Face hub reads. Licences are named by SPDX identifier, with
    what is in conflict among all that the model was made of.
    """
    own = (provenance.licence,) if provenance.pretrained else provenance.licences
    metadata = describe_licence(own or ("unknown",))
    if provenance.base_model:
        metadata["base_model"] = provenance.base_model
    lines = [f"{key}: {value}" for key, value in (metadata | {"library_name": library}).items()]
    sentences = [f"`{provenance.ref}`, exported by Genloom."]
    if provenance.pretrained:
        origin = HUB_URL + provenance.base_model if provenance.base_model else provenance.pretrained
        sentences.append(f"It derives from {origin} (licence: {provenance.licence}), and was changed from it.")
    if provenance.missing_base:
        sentences.append(f"It derives from `{provenance.missing_base}`, whose licence and notices apply too.")
    if provenance.adapters:
        sentences.append(f"It contains the adapter {', '.join(provenance.adapters)}.")
    if provenance.data:
        sentences.append(f"It was trained on {', '.join(provenance.data)}.")
    names = sorted({to_spdx(licence) for licence in provenance.licences})
    licences = (
        ["", "## Licences", "", f"Of what it was made of, by SPDX identifier: {', '.join(names)}."] if names else []
    )
    licences += [f"- {conflict}" for conflict in find_conflicts(provenance.licences)]
    text = "\n".join(["---", *lines, "---", "", *sentences, *(["", note] if note else []), *licences, ""])
    (folder / "README.md").write_text(text, encoding="utf-8")
    for name, path in provenance.notices.items():
        shutil.copyfile(path, folder / name)
    has_licence = (folder / "LICENSE").exists()
    if to_spdx(provenance.licence) == "Apache-2.0" and not has_licence and (apache_licence := _read_apache_licence()):
        (folder / "LICENSE").write_text(apache_licence, encoding="utf-8")


def _read_apache_licence() -> str | None:
    """Return the text of the Apache License, which is that of this program."""
    try:
        return distribution("genloom").read_text("licenses/LICENSE")
    except PackageNotFoundError:
        return None


def find_notices(folder: Path) -> tuple[Path, ...]:
    """Return the licence files of a model's folder; none that lies elsewhere but in the cache of the hub."""
    homes = (folder.resolve(), folder.resolve().parent.parent / "blobs")
    candidates = [path for path in sorted(folder.iterdir()) if _NOTICE_FILE.fullmatch(path.name) and path.is_file()]
    notices = [p for p in candidates if p.resolve().parent in homes and p.stat().st_size <= _MAX_NOTICE_BYTES]
    return tuple(notices[:_MAX_NOTICES])


def copy_notices(notices: Sequence[Path], folder: Path) -> None:
    """Copy the licence files of a source into the folder of the imported model."""
    if notices:
        (folder / NOTICES).mkdir()
    for notice in notices:
        shutil.copyfile(notice, folder / NOTICES / notice.name)


def find_repository(folder: Path) -> str:
    """Return the hub name of a folder in the cache of the Hugging Face hub; "" for any other folder."""
    parts = folder.resolve().parts
    is_snapshot = len(parts) > 3 and parts[-2] == "snapshots" and parts[-3].startswith("models--")
    return parse_repository(parts[-3].removeprefix("models--").replace("--", "/", 1)) if is_snapshot else ""


def parse_repository(value: object) -> str:
    """Return a hub name, given as such or by its address; "" for anything else."""
    name = value.removeprefix(HUB_URL) if isinstance(value, str) else ""
    return name if len(name) <= 200 and _REPOSITORY.fullmatch(name) else ""
