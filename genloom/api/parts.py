"""The parts that models are made of, and those that plug-ins add."""

from typing import get_args

from genloom import plugins
from genloom.errors import GenloomError


def parts(kind: str = "") -> dict[str, dict[str, str]]:
    """Return the names and purposes of the available parts by kind: built in, or plug-ins of installed packages.

    Parameters
    ----------
    kind
        One kind, e.g. network, objective, codec, medium. "": all.

    Raises
    ------
    GenloomError
        api.unknown_kind: there is no such kind.
    """
    kinds = get_args(plugins.PartKind)
    if kind and kind not in kinds:
        raise GenloomError("api.unknown_kind", kind=kind, known=", ".join(kinds))
    return {each: plugins.describe_parts(each) for each in kinds if kind in ("", each)}
