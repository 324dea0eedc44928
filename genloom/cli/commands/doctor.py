"""`genloom doctor`: a check of the machine and the workspace."""

from genloom.cli.options.workspace import CommonOptions


def run(
    *,
    verify: bool = False,
    deep: bool = False,
    common: CommonOptions = CommonOptions(),
) -> int:
    """Check this machine and the workspace.

    Exits with 1 if a problem is found.

    Parameters
    ----------
    verify
        Full check: read every data set, model and rating, and compare it with its recorded digest.
    deep
        Search for every changed byte: --verify, also of cards, records, old data sets and sources of edits.
    """
    workspace, console = common.open()
    diagnosis = workspace.doctor(verify=verify, deep=deep)
    console.print_line(str(diagnosis))
    console.print_result(diagnosis.to_json())
    return 1 if diagnosis.problems else 0
