"""Files of outputs as they leave: signed, with a note if that is not possible."""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genloom.api.models import Model
    from genloom.api.outputs import Output
    from genloom.api.workspace import Workspace
    from genloom.trust.outgoing import OutgoingFile
    from genloom.types import Display

Note = Callable[[str], object]  # takes the reason why a file is not signed


class UnsignedWarning(UserWarning):
    """A file left without a signature."""


def warn_unsigned(problem: str) -> None:
    """Warn in Python's way that a file left without a signature."""
    warnings.warn(problem, UnsignedWarning, stacklevel=3)


def sign_file_of(output: "Output", data: bytes, suffix: str) -> "OutgoingFile":
    """Return a file of an output, in any format, as it leaves."""
    from genloom.trust.outgoing import sign_output

    return sign_output(output.workspace.store, output.record, data, suffix)


def write_signed_file(output: "Output", source: Path, target: Path, note: Note | None) -> None:
    """Write a file of an output to a path as it leaves; a very large one stays unsigned, and `note` gets the reason."""
    from genloom.trust import outgoing

    if problem := outgoing.write_signed_file(output.workspace.store, output.record, source, target):
        (note or warn_unsigned)(problem)


def sign_display(outputs: "Sequence[Output]", display: "Display") -> "Display":
    """Return what a page shows of outputs, with a signature if its format holds one."""
    from genloom.media.abilities import guess_suffix
    from genloom.trust import manifests

    suffix = guess_suffix(display.mime.partition(";")[0])
    if not manifests.can_embed(suffix):
        return display
    return replace(display, data=sign_page(outputs, display.data, suffix).data)


def sign_blind_display(output: "Output") -> "Display":
    """Return what a page shows of an output, with a signature that does not tell which model made it."""
    from genloom.media.abilities import guess_suffix
    from genloom.trust.outgoing import sign_blind

    display = output.show()
    suffix = guess_suffix(display.mime.partition(";")[0])
    return replace(display, data=sign_blind(output.workspace.folder, display.data, suffix))


def sign_page(outputs: "Sequence[Output]", data: bytes, suffix: str) -> "OutgoingFile":
    """Return a file with several outputs, such as a sheet, as it leaves."""
    from genloom.trust.outgoing import sign_outputs

    return sign_outputs(outputs[0].workspace.store, [output.record for output in outputs], data, suffix)


def save_signed(
    workspace: "Workspace",
    path: Path,
    data: bytes,
    facts: "Mapping[str, Any]",
    note: Note | None,
    source_type: str = "",
    source: Path | None = None,
) -> None:
    """Write a file that holds outputs or is about a model, with a signature that tells the facts.

    `source` is the file that it was made from, whose manifest stays in the new one.
    """
    from genloom.trust.manifests import Ingredient
    from genloom.trust.outgoing import sign_data

    ingredient = None if source is None else Ingredient(source.read_bytes(), source.suffix, source.name)
    write_outgoing(sign_data(workspace.folder, data, path.suffix, facts, ingredient, source_type), path, note)


def sign_export(model: "Model", files: "Mapping[str, Path]", card: Path, note: Note | None = None) -> None:
    """Write a signed card of an exported model: its digest and data, and the digests of the files by their names."""
    from genloom.store.files import hash_file
    from genloom.trust.manifests import WEIGHTS
    from genloom.trust.outgoing import read_lineage

    facts = {
        "model": model.ref,
        "model_digest": model.digest,
        "data": list(read_lineage(model.workspace.store, model.ref, model.digest)),
        "files": {name: hash_file(path) for name, path in files.items()},
    }
    save_signed(model.workspace, card, f"{json.dumps(facts, indent=1)}\n".encode(), facts, note, WEIGHTS)


def write_outgoing(outgoing: "OutgoingFile", path: Path, note: Note | None) -> None:
    """Write a file as it leaves, and say if it is not signed: by a Python warning, or as `note` does."""
    outgoing.write(path)
    if outgoing.problem:
        (note or warn_unsigned)(outgoing.problem)
