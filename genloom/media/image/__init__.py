"""The medium image: opens image files as uint8 RGB arrays, saves, previews and checks them."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from genloom.errors import GenloomError
from genloom.media.image import decoding, terminal
from genloom.media.image.alignment import list_alignments as list_alignments
from genloom.media.image.style_features import extract_style_features as extract_style_features
from genloom.media.saving import write_file
from genloom.settings import explain_unreadable_file
from genloom.types import DefaultRecipe, Display, Item

kind: str = "image"
plural: str = "pictures"  # in text for people
unit: str = "pixel"
persons: tuple[str, ...] = ("face",)
tokens_per_sample: int = 256

suffixes: tuple[str, ...] = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".svg")

feature_extractor: str = "efficientnet"  # features for comparing images: a module of evaluate/features

default_recipes: tuple[DefaultRecipe, ...] = (
    DefaultRecipe(("flow",), "dit", ("latent", "pixels"), batch_size=64, context_length=0, text_encoder="minilm"),
    DefaultRecipe(
        ("autoregressive", "masked"),
        "transformer",
        ("fsq_tokens",),
        batch_size=32,
        context_length=0,
        text_encoder="minilm",
    ),
    DefaultRecipe(
        ("variational", "vae_gan", "adversarial"), "convolution", ("pixels",), batch_size=64, context_length=0
    ),
    DefaultRecipe((), "dit", ("latent", "pixels"), batch_size=64, context_length=0, text_encoder="minilm"),
)

SAVE_FORMATS = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".gif": "GIF", ".bmp": "BMP", ".tif": "TIFF",
    ".tiff": "TIFF",
}  # fmt: skip
save_suffixes: tuple[str, ...] = (".png", ".jpg", ".webp", ".gif", ".bmp", ".tiff")
MIN_SIDE = 16  # pixels
MIN_CONTRAST = 4.0  # standard deviation of a channel, of 255, below which an image shows almost nothing
MAX_ASPECT = 8  # ratio of the longer to the shorter side


def open(path: Path, max_side: int = 0, background: str = decoding.BACKGROUND) -> Item:
    """Return the image in a file as an Item: `value` is uint8 (H, W, 3) in sRGB, `licence` the one the file states.

    A longer side above `max_side` pixels is reduced to it (0: never); a vector image is drawn that large, or at 512.
    Transparent pixels show the `background`, a colour such as "white" or "#ffeedd". `meta` has the `caption` in the
    file ("" for none), the original `width` and `height`, the share `transparent`, and `changes`.
    Raise ValueError with the file, the reason and the cure.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(decoding.MAX_BYTES + 1)
        picture = decoding.decode_image(data, max_side, background)
    except OSError as error:
        raise GenloomError("media.unreadable_file", path=path, reason=explain_unreadable_file(error)) from error
    except ValueError as error:
        raise GenloomError("media.unreadable", path=path, reason=error) from error
    return Item(picture.pixels, str(path), picture.licence or "unknown", picture.to_meta())


def open_mask(path: Path) -> np.ndarray:
    """Return a mask, bool (H, W), from a file: True where it is white; what is transparent in it counts as black.

    Raise ValueError for a picture with transparent parts, of which either part could be meant.
    """
    on_black = open(path, background="black").value
    on_white = open(path, background="white").value
    is_white = on_black.mean(-1) > 127
    is_opaque = (on_black == on_white).all(-1)
    if not is_opaque.all():
        drawn = on_black[is_opaque].astype(np.int16)
        is_colourful = (drawn.max(-1) - drawn.min(-1) > 32) | ((drawn.max(-1) > 64) & (drawn.min(-1) < 192))
        if is_colourful.mean() > 0.1:
            raise GenloomError("media.ambiguous_mask", path=path)
    return is_white


def save(item: Item, path: Path) -> None:
    """Write the image in the format of the suffix (JPEG at quality 95) to a temporary file and rename it."""
    path = Path(path)
    require_save_suffix(path)
    format = SAVE_FORMATS[path.suffix.lower()]
    options = {"quality": 95} if format == "JPEG" else {}
    write_file(path, lambda file: decoding.to_pil_image(item.value).save(file, format, **options))


def require_save_suffix(path: Path) -> None:
    """Raise GenloomError for a suffix of no format that images are saved in."""
    if path.suffix.lower() not in SAVE_FORMATS:
        raise GenloomError("media.bad_save_suffix", path=path, suffix=path.suffix or "such")


def preview(item: Item, max_columns: int = 48) -> str:
    """Render the image for a terminal, two pixels per character, at most `max_columns` wide."""
    return terminal.render_ansi(item.value, max_columns)


def check(item: Item) -> list[str]:
    """List the problems of the image; an empty list if there are none."""
    height, width, _ = item.value.shape
    problems = []
    if min(height, width) < MIN_SIDE:
        problems.append(f"it is tiny: {width} × {height} pixels")
    if max(height, width) > MAX_ASPECT * min(height, width):
        problems.append(f"it is a narrow strip: {width} × {height} pixels")
    if (item.value == item.value[0, 0]).all():
        problems.append("it is blank: one colour all over")
    elif item.value.std(axis=(0, 1), dtype=np.float32).max() < MIN_CONTRAST:
        problems.append("it is nearly one colour all over")
    if (transparent_share := item.meta.get("transparent", 0.0)) > 0.95:
        problems.append(f"it is mostly transparent ({transparent_share:.0%})")
    return problems


def show(value: np.ndarray) -> Display:
    """Return the image as PNG, and drawn with half blocks."""
    return Display("image/png", encode(value), preview(Item(value)))


def sheet(values: Sequence[np.ndarray], captions: Sequence[str] = ()) -> Display:
    """Return the images on one sheet, scaled to the height of the smallest."""
    from genloom.media.image.contact_sheet import SheetCell, draw_contact_sheet

    captions = captions or [""] * len(values)
    cells = [[SheetCell(value, caption)] for value, caption in zip(values, captions, strict=True)]
    return show(draw_contact_sheet(cells))


def count_units(value: np.ndarray) -> int:
    """Return the number of pixels."""
    return value.shape[0] * value.shape[1]


def encode(value: np.ndarray) -> bytes:
    """Encode the image as PNG: lossless, and deterministic."""
    buffer = io.BytesIO()
    decoding.to_pil_image(value).save(buffer, "PNG")
    return buffer.getvalue()


def decode(data: bytes) -> np.ndarray:
    """Decode the bytes that `encode` returned to uint8 (H, W, 3); ValueError if they are damaged."""
    return decoding.decode_image(data).pixels
