"""Every byte that is not as it was written: outputs, data sets, models, runs, conversations, reports, the ledger."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from genloom.errors import ErrorText, GenloomError
from genloom.store import files, manifest, records
from genloom.store.database import encode_head
from genloom.store.ledger import Ledger
from genloom.store.output_files import verify_output
from genloom.store.workspace import Workspace
from genloom.trust.revocation import has_changed_signatures

# Files with a digest of their own content, and of other files beside them.
_RECORDS = (
    "outputs/newest.json",
    "models/*/champion.json",
    "runs/*/run.json",
    "runs/*/done.json",
    "runs/*/state/*.json",
    "runs/*/receipt.digests.json",
    "conversations/*.json",
    "reports/*/*.json",
)


def list_changes(workspace: Workspace, ledger: Ledger) -> Iterator[ErrorText]:
    """Yield a sentence on every file that is not as it was written, and on the ledger.

    Read are the files and records of outputs, the sources of edits, every version of every data set and model with its
    manifest or card, what a finished run leaves with its receipt, the samples that runs read, conversations, reports,
    the version in use of each model, and the entries of the ledger with its indexes and triggers. A file in the folder
    of a version that its manifest does not name counts, too. Cards, runs, conversations and reports of earlier versions
    of Genloom have no digest of their own: of these cards, only the files are compared.
    """
    root = workspace.root
    for path in sorted(root.glob("outputs/*/*.json")):
        if workspace.has_output(path.stem):
            yield from _explain_error(lambda path=path: _verify_output(workspace, path))
    for path in sorted(root.glob("outputs/originals/*.*")):
        yield from _explain_error(lambda path=path: _verify_original(path))
    for pattern in ("data/*/[!.]*/manifest.json", "models/*/[!.]*/card.json"):
        for path in sorted(root.glob(pattern)):
            yield from _explain_error(lambda path=path: _verify_version(path))
            yield from _list_additions(path)
    for pattern in _RECORDS:
        for path in sorted(root.glob(pattern)):
            yield from _explain_error(lambda path=path: manifest.verify_written(path))
    yield from _list_changed_receipts(workspace, ledger)
    if has_changed_signatures(root):
        yield ErrorText.of(GenloomError("trust.changed_file", path=root / "keys" / "signed.txt"))
    for path in sorted(root.glob("runs/*/train.sha256")):
        yield from _list_changed_samples(path)
    yield from _explain_error(ledger.database.verify_file)
    yield from _explain_error(ledger.verify)
    yield from _explain_error(lambda: _verify_head(ledger))


def _list_additions(path: Path) -> Iterator[ErrorText]:
    """Yield the files in the folder of a version that its manifest does not name, as a codec's file that was added."""
    try:
        known = {path, *(path.parent / name for name in manifest.read_manifest(path)["files"])}
    except (ValueError, OSError):  # which is told already
        return
    for folder, _, names in os.walk(path.parent):
        for each in sorted(Path(folder, name) for name in names):
            if each not in known:
                yield ErrorText.of(GenloomError("trust.added_file", path=each, manifest=path.name))


def _list_changed_receipts(workspace: Workspace, ledger: Ledger) -> Iterator[ErrorText]:
    """Yield the receipts of rounds of learning whose digest is not that in the ledger."""
    try:
        rounds = {
            str(entry.body.get("run")): str(entry.body.get("receipt")) for entry in ledger.iter_entries(["round"])
        }
    except ValueError:  # which is told already
        return
    for path in sorted(workspace.root.glob("runs/*/receipt.json")):
        digest = rounds.get(path.parent.name)
        if digest and files.hash_file(path) != digest:
            yield ErrorText.of(GenloomError("trust.changed_file", path=path))


def _list_changed_samples(path: Path) -> Iterator[ErrorText]:
    """Yield the encoded samples of a run that are not as they were written, or their list of digests."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        file = path.parent / Path(name).name
        if name != file.name or not file.is_file() or files.hash_file(file) != digest:
            yield ErrorText.of(GenloomError("trust.changed_file", path=file if file.is_file() else path))


def _explain_error(check: Callable[[], object]) -> Iterator[ErrorText]:
    try:
        check()
    except (ValueError, OSError) as error:
        yield ErrorText.of(error)


def _verify_output(workspace: Workspace, record_path: Path) -> None:
    path, record = workspace.get_output(record_path.stem)
    verify_output(path, record)
    if records.has_digest(record) and record_path.read_bytes() != manifest.encode_json(record):
        raise manifest.damaged_error(record_path, "its content was changed")


def _verify_original(path: Path) -> None:
    if files.hash_file(path) != path.stem:
        raise GenloomError("trust.changed_file", path=path)


def _verify_head(ledger: Ledger) -> None:
    """Check the file that keeps the newest entry; that it names an entry of the ledger is checked with the chain."""
    path = ledger.database.head_file
    seq, digest = ledger.database.read_head()
    if path.is_file() and (seq < 1 or path.read_text(encoding="utf-8", errors="replace") != encode_head(seq, digest)):
        raise GenloomError("trust.changed_file", path=path)


def _verify_version(path: Path) -> None:
    """Check the manifest first: the digests of the files are in it."""
    content = manifest.read_manifest(path)
    manifest.verify_record(path)
    if path.name == "manifest.json" and content["digest"] != path.parent.name:
        raise manifest.damaged_error(path, "its digest is not the name of its folder")
    manifest.verify_digests(path.parent, content)
