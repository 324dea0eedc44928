"""`genloom verify`: what files say of their origin."""

from contextlib import nullcontext
from pathlib import Path

from genloom.api.verification import MarkSearch, iter_verify
from genloom.cli.item_list import open_item_list
from genloom.cli.options.workspace import CommonOptions
from genloom.errors import GenloomError
from genloom.text_format import format_count


def run(
    files: list[Path] | None = None, /, *, marks: MarkSearch = "full", common: CommonOptions = CommonOptions()
) -> int:
    """Tell who signed files, whether they changed since, whether they are marked, and which outputs they are.

    Exits with 0 if every file is unchanged and signed by this workspace or a trusted authority, or has no signature but
    a mark of this workspace or the bytes of an output; with 1 if one does not, or cannot be read. A file without a
    signature and without a mark gives no evidence of who made it. Of folders, hidden files and the records
    of this workspace's outputs are left out.

    Parameters
    ----------
    files
        Files, and folders with files. A manifest beside a file is found by its name.
    marks
        Search for marks of this workspace: full, fast (blind, and pictures as they are) or none.
    """
    workspace, console = common.open()
    if not files:
        raise GenloomError("cli.files_missing")
    num_files = num_fine = 0
    # On a terminal the lines of each file show what is done, and a bar would be between them.
    with (
        open_item_list(console) as items,
        nullcontext() if console.is_live else console.show_progress("Verifying", 1.0) as bar,
    ):
        for verification in iter_verify(workspace, files, marks=marks, progress=bar.update if bar else None):
            console.print_line(str(verification))
            items.add(verification.to_json())
            num_files, num_fine = num_files + 1, num_fine + verification.is_fine
        if not num_files:
            raise GenloomError("trust.nothing_to_verify", path=", ".join(map(str, files)))
        if num_files != 1:
            console.print_line(f"{format_count(num_files, 'file')}: {num_fine} with evidence of a trusted origin.")
        items.print("files", {"fine": num_fine})
    return 0 if num_fine == num_files else 1
