"""Files of outputs as the server sends them: signed once, and taken from the cache after that.

A format that holds no manifest is sent as it is, with a link to its manifest (RFC 8288, as C2PA 2.2 says in 11.4).
"""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.responses import Response

from genloom.api.outputs import Output
from genloom.api.workspace import Workspace
from genloom.store.files import write_atomic
from genloom.store.pruning import note_use, prune_folder
from genloom.trust import manifests
from genloom.trust.outgoing import sign_output

MANIFEST_TYPE = "application/c2pa"
MAX_CACHE_BYTES = 1 << 30  # of signed files; others are signed again
WRITES_PER_PRUNING = 200
_num_written = itertools.count()  # of this process, the first of which looks at the folder


def sign_path(workspace: Workspace, record: Mapping[str, Any], path: Path, suffix: str = "") -> Path:
    """Return where a file of an output lies with its signature; the file itself if its format holds none.

    `suffix` is that of a file in the bin, whose name has none. A file that cannot be signed is sent without; `genloom
    doctor` says why.
    """
    suffix = suffix or path.suffix
    if not manifests.can_embed(suffix):
        return path
    target = get_cached_path(workspace, path, suffix)
    if not is_fresh(target, path):
        outgoing = sign_output(workspace.store, record, path.read_bytes(), suffix)
        if not outgoing.is_signed:
            return path
        keep_file(workspace, target, outgoing.data)
    note_use(target)
    return target


def sign_stored(output: Output) -> Path:
    """Return where the file of an output lies with its signature."""
    return sign_path(output.workspace, output.record, output.path)


def build_manifest(workspace: Workspace, record: Mapping[str, Any], path: Path) -> bytes | None:
    """Return the manifest of a file of an output whose format holds none; None if it holds it, or cannot be signed."""
    sidecar = manifests.get_sidecar_path(path)
    if sidecar.is_file():
        return sidecar.read_bytes()
    suffix = path.suffix or Path(str(record.get("file"))).suffix  # of a file in the bin
    if manifests.can_embed(suffix):
        return None
    target = get_cached_path(workspace, path, f"{suffix}.c2pa")
    if is_fresh(target, path):
        note_use(target)
        return target.read_bytes()
    manifest = sign_output(workspace.store, record, path.read_bytes(), suffix).sidecar
    if manifest is not None:
        keep_file(workspace, target, manifest)
    return manifest


def get_cached_path(workspace: Workspace, path: Path, suffix: str) -> Path:
    """Return where a signed file, or a manifest, of this file of an output is kept."""
    return workspace.folder / "cache" / "signed" / path.parent.name / f"{path.stem}{suffix}"


def is_fresh(target: Path, path: Path) -> bool:
    """Return whether what is kept was made from the file as it is now."""
    return target.is_file() and target.stat().st_mtime >= path.stat().st_mtime


def keep_file(workspace: Workspace, target: Path, data: bytes) -> None:
    """Keep what was signed, so that it is signed once; what was not used for long goes."""
    write_atomic(target, data)
    if next(_num_written) % WRITES_PER_PRUNING == 0:
        prune_folder(workspace.folder / "cache" / "signed", MAX_CACHE_BYTES)


def link_manifest(response: Response, path: Path, address: str) -> Response:
    """Add the address of the manifest to the answer with a file that does not hold it."""
    if not manifests.can_embed(path.suffix):
        response.headers["link"] = f'<{address}>; rel="c2pa-manifest"; type="{MANIFEST_TYPE}"'
    return response
