"""Disks that other machines share are known by the table of mounts."""

from pathlib import Path

from genloom.store.file_systems import find_network_file_system


def test_the_innermost_mount_of_a_path_counts(tmp_path: Path) -> None:
    inner = tmp_path / "a lab" / "own"
    mounts = tmp_path / "mounts"
    escaped = str(tmp_path / "a lab").replace(" ", "\\040")
    mounts.write_text(
        f"/dev/sda1 / ext4 rw 0 0\nserver:/x {escaped} nfs4 rw,hard 0 0\n/dev/sdb1 {escaped}/own ext4 rw 0 0\n"
    )
    assert find_network_file_system(tmp_path, mounts) == ""
    assert find_network_file_system(tmp_path / "a lab" / "workspace", mounts) == "nfs4"
    assert find_network_file_system(inner / "workspace", mounts) == ""
    assert find_network_file_system(tmp_path, tmp_path / "none") == ""
