"""Enlargement of images."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom import plugins
from genloom.api.signing import Note, save_signed
from genloom.errors import GenloomError
from genloom.store.files import expand_home, hash_file

if TYPE_CHECKING:
    from genloom.api.workspace import Workspace

DEFAULT_FACTOR = 4
SUFFIX = ".png"


def upscale(
    workspace: "Workspace",
    picture: str | Path,
    out: str | Path = "",
    *,
    by: int = DEFAULT_FACTOR,
    note: Note | None = None,
    progress: "bool | Callable[[float, str], None] | None" = None,
) -> Path:
    """Enlarge an image by a small network that was trained on drawings; edges stay sharp. Return where it is.

    Parameters
    ----------
    picture
        File with an image: .png, .jpg, .webp and the like.
    out
        Path of the enlarged image, whose suffix chooses the format. "": beside the image, e.g. fox-x4.png.
    by
        Factor: 2, 3 or 4.
    note
        Called with the reason if the file could not be signed. None: a Python warning.
    progress
        Whether a bar is shown on standard error (None: in notebooks only), or a function of the share done and a note.

    Raises
    ------
    GenloomError
        media.bad_factor, media.enlarged_too_large, media.unreadable, media.bad_save_suffix; api.upscale_onto_source:
        the result would replace the image; api.not_enlarged: no medium with files of this suffix can be enlarged.
    """
    from genloom.media.abilities import get_ability
    from genloom.media.opening import open_limited
    from genloom.media.saving import render_file
    from genloom.trust.manifests import EDITED
    from genloom.types import Item

    source = expand_home(picture)
    target = expand_home(out) if out else source.with_name(f"{source.stem}-x{by}{SUFFIX}")
    medium = find_medium(source)
    get_ability(medium, "require_save_suffix")(target)
    if target.exists() and source.exists() and target.samefile(source):
        raise GenloomError("api.upscale_onto_source", path=target)
    item = open_limited(medium.open, source)
    with workspace.open_callback("Enlarging", progress) as report:
        enlarged = get_ability(medium, "enlarge_value")(item.value, by, lambda share: report(share, ""))
    target.parent.mkdir(parents=True, exist_ok=True)
    data = render_file(medium, Item(enlarged, str(target), item.licence), target.name)
    facts = {"enlarged": source.name, "sha256": hash_file(source), "factor": by}
    save_signed(workspace, target, data, facts, note, EDITED, source)
    return target


def find_medium(path: Path) -> Any:
    """Return the medium of a file whose values can be enlarged; GenloomError (api.not_enlarged) if there is none."""
    from genloom.media.abilities import get_ability

    known: list[str] = []
    for name in plugins.list_part_names("medium"):
        with suppress(GenloomError):  # a broken plugin is reported where its medium is used
            medium = plugins.find_part("medium", name)
            if get_ability(medium, "enlarge_value") is None:
                continue
            if path.suffix.lower() in medium.suffixes:
                return medium
            known += medium.suffixes
    raise GenloomError("api.not_enlarged", path=path, known=", ".join(known))
