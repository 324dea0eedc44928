"""`genloom parts`: what models can be made of."""

from dataclasses import asdict, astuple
from typing import get_args

from genloom import plugins
from genloom.cli.console import Console
from genloom.cli.options.workspace import CommonOptions
from genloom.text_format import format_table


def run(
    kind: plugins.PartKind | None = None,
    /,
    *,
    fits: bool = False,
    settings: bool = False,
    common: CommonOptions = CommonOptions(),
) -> None:
    """List the parts that models are made of, built in or from installed packages.

    Parameters
    ----------
    kind
        Kind of parts. [default: all]
    fits
        List instead which networks fit which objective and data, and what each codec makes of a value.
    settings
        List instead what --set of train and learn can set, with the defaults.
    """
    _, console = common.open()
    if fits:
        _print_fits(console)
        return
    if settings:
        _print_settings(console)
        return
    kinds: tuple[plugins.PartKind, ...] = (kind,) if kind else get_args(plugins.PartKind)
    parts_by_kind = {each: plugins.describe_parts(each) for each in kinds}
    for each, descriptions in parts_by_kind.items():
        console.print_line(each.replace("_", " "))
        console.print_lines(format_table(list(descriptions.items())), indent="  ")
    problems = plugins.list_problems(*kinds)
    for problem in problems:
        console.print_note(problem)
    console.print_result({"parts": parts_by_kind, "problems": problems})


def _print_settings(console: Console) -> None:
    from genloom.train.job_settings import list_settings

    groups = list_settings()
    for name, defaults in groups.items():
        console.print_line(name)
        console.print_lines(format_table([(path, str(default)) for path, default in defaults.items()]), indent="  ")
    console.print_result({"settings": groups})


def _print_fits(console: Console) -> None:
    from genloom.model.fits import describe_codecs, list_fits

    rows, codecs = list_fits(), describe_codecs()
    console.print_lines(format_table([("objective", "data", "networks"), *map(astuple, rows)]))
    console.print_line()
    console.print_lines(format_table([("codec", "data"), *codecs.items()]))
    console.print_result({"fits": [asdict(row) for row in rows], "codecs": codecs})
