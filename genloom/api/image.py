"""Enlargement of images."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

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
        the result would replace the image.
    """
    from genloom.media import image
    from genloom.media.image.upscaling import upscale as enlarge
    from genloom.media.opening import open_limited
    from genloom.trust.manifests import EDITED
    from genloom.types import Item

    source = expand_home(picture)
    target = expand_home(out) if out else source.with_name(f"{source.stem}-x{by}{SUFFIX}")
    image.require_save_suffix(target)
    if target.exists() and source.exists() and target.samefile(source):
        raise GenloomError("api.upscale_onto_source", path=target)
    item = open_limited(image.open, source)
    with workspace.open_callback("Enlarging", progress) as report:
        enlarged = enlarge(item.value, by, lambda share: report(share, ""))
    target.parent.mkdir(parents=True, exist_ok=True)
    image.save(Item(enlarged, str(target), item.licence), target)
    facts = {"enlarged": source.name, "sha256": hash_file(source), "factor": by}
    save_signed(workspace, target, target.read_bytes(), facts, note, EDITED)
    return target
