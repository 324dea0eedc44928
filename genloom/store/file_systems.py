"""The kind of file system that a path is on, as far as it matters to locks: whether other machines share it."""

import os
from pathlib import Path

_NETWORKED = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "ceph", "fuse.glusterfs", "fuse.sshfs", "9p")
)
_MOUNTS = Path("/proc/self/mounts")


def find_network_file_system(path: Path, mounts: Path = _MOUNTS) -> str:
    """Return the kind of the file system of a path if other machines share it, such as "nfs4"; "" for others.

    It is read from the table of mounts, which some systems do not have: they count as not shared.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    place = os.path.realpath(path)
    kinds = {"/": ""}
    for line in lines:
        _, folder, kind, *_ = [*line.split(), "", "", ""]
        kinds[folder.encode().decode("unicode_escape", errors="replace")] = kind
    inside = [folder for folder in kinds if place == folder or place.startswith(f"{folder.rstrip('/')}/")]
    kind = kinds[max(inside, key=len)]
    return kind if kind in _NETWORKED else ""
