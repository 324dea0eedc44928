"""`genloom verify`: what files say of their origin."""

from pathlib import Path

from genloom.api.verification import MarkSearch, iter_verify
from genloom.cli.options.workspace import CommonOptions
from genloom.errors import GenloomError
from genloom.text_format import format_count


def run(
    files: list[Path] | None = None, /, *, marks: MarkSearch = "full", common: CommonOptions = CommonOptions()
) -> int:
    """Tell who signed files, whether they changed since, whether they are marked, and which outputs they are.

    Exits with 0 if every file is unchanged and signed by this workspace or a trusted authority, or has no signature but
    a mark of this workspace or the bytes of an output; with 1 if one does not, or cannot be read. A file without a
    signature and without a mark gives no evidence of who made it. Hidden files in folders are left out.

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
    results = []
    for verification in iter_verify(workspace, files, marks=marks):
        console.print_line(str(verification))
        results.append(verification)
    if not results:
        raise GenloomError("trust.nothing_to_verify", path=", ".join(map(str, files)))
    num_fine = sum(verification.is_fine for verification in results)
    if len(results) != 1:
        console.print_line(f"{format_count(len(results), 'file')}: {num_fine} with evidence of a trusted origin.")
    console.print_result({"files": [verification.to_json() for verification in results], "fine": num_fine})
    return 0 if num_fine == len(results) else 1
