"""`genloom parts`: what models can be made of."""

from typing import get_args

from genloom import plugins
from genloom.cli.options.common import CommonOptions
from genloom.text_format import format_table


def run(kind: plugins.PartKind | None = None, /, *, common: CommonOptions = CommonOptions()) -> None:
    """List the parts that models are made of, built in or from installed packages.

    Parameters
    ----------
    kind
        Kind of parts. [default: all]
    """
    _, console = common.open()
    kinds: tuple[plugins.PartKind, ...] = (kind,) if kind else get_args(plugins.PartKind)
    parts_by_kind = {each: plugins.describe_parts(each) for each in kinds}
    for each, descriptions in parts_by_kind.items():
        console.print_line(each.replace("_", " "))
        for line in format_table(list(descriptions.items())):
            console.print_line(f"  {line}")
    console.print_result({"parts": parts_by_kind})
