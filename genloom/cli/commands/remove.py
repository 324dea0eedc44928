"""`genloom remove`: data sets, models, runs, outputs, conversations and prompts go to the bin, and out of it."""

from typing import Annotated

from cyclopts import Parameter

from genloom.api.removal import find_removable_paths
from genloom.cli.console import Console
from genloom.cli.options.workspace import CommonOptions
from genloom.errors import GenloomError
from genloom.program import quote_name
from genloom.store.recycle_bin import BinEntry, RemovableKind
from genloom.text_format import format_bytes, format_table


def run(
    kind: RemovableKind | None = None,
    /,
    *names: str,
    force: bool = False,
    restore: Annotated[str, Parameter(show_default=False)] = "",
    empty_bin: bool = False,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Move data sets, models, runs, outputs or conversations to the bin, restore them, or free the space.

    Dependencies of others are only removed with --force: the active version of a model, the base of an adapter, the
    data of a model, an output with ratings. Ratings stay in the ledger. Without arguments, lists the bin.

    Parameters
    ----------
    kind
        Kind to remove, as `genloom list` names it.
    names
        Names or ids: notes (a model or data set), notes/3 (a version), 2026-11-21-g0r4t7 (a run or an output).
    force
        Removal of what others depend on.
    restore
        Name or id in the bin of what is moved back.
    empty_bin
        Deletion of everything in the bin.
    """
    workspace, console = common.open()
    if sum((kind is not None, bool(restore), empty_bin)) > 1:
        raise GenloomError("cli.remove_one_thing")
    if kind is not None:
        if not names:
            raise GenloomError("cli.remove_without_name", kind=kind)
        names = tuple(dict.fromkeys(names))
        for name in names:  # all or none
            find_removable_paths(workspace, kind, name, force)
        entries = [workspace.remove(kind, name, force=force) for name in names]
        for entry in entries:
            console.print_hint(
                f"Removed {_describe_entry(entry)}. To restore it: genloom remove --restore {quote_name(entry.name)}"
            )
        console.print_hint("The bin still takes its space. To free it: genloom remove --empty-bin")
        console.print_result({"removed": [entry.to_record() for entry in entries]})
    elif restore:
        entry = workspace.restore(restore)
        console.print_line(f"Restored {_describe_entry(entry)}.")
        console.print_result({"restored": entry.to_record()})
    elif empty_bin:
        num_bytes = workspace.empty_bin()
        console.print_line(f"The bin is empty: {format_bytes(num_bytes)} freed.")
        console.print_result({"freed": num_bytes})
    else:
        print_bin(workspace.bin, console)
        console.print_result({"bin": workspace.bin.to_records()})


def print_bin(entries: list[BinEntry], console: Console) -> None:
    """Print what can be restored, or that nothing can."""
    console.print_line(f"bin ({len(entries)}, {format_bytes(sum(entry.bytes for entry in entries))})")
    rows = [(e.id, e.kind, e.name, e.removed[:16].replace("T", " "), format_bytes(e.bytes)) for e in entries]
    console.print_lines(format_table(rows), indent="  ")


def _describe_entry(entry: BinEntry) -> str:
    return f"{entry.name} ({entry.kind}, {format_bytes(entry.bytes)})"
