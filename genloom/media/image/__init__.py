"""The medium image: opens image files as uint8 RGB arrays, saves, previews and checks them."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genloom.errors import GenloomError
from genloom.media.image import decoding, terminal
from genloom.media.image.alignment import list_alignments as list_alignments
from genloom.media.image.style_features import describe_style
from genloom.media.image.style_features import extract_style_features as extract_style_features
from genloom.media.saving import write_file
from genloom.settings import explain_unreadable_file, option
from genloom.types import DefaultRecipe, Display, Item

if TYPE_CHECKING:
    from PIL import Image

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
save_suffixes: tuple[str, ...] = (".png", ".jpg", ".webp", ".gif", ".bmp", ".tiff", ".svg")
SVG_SUFFIX = ".svg"
TRANSPARENT_FORMATS = ("PNG", "WEBP", "TIFF")
MASK_TOLERANCE = 20  # difference of levels, of 255, below which a mask is black or white
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
    """Return the levels of a mask, uint8 (H, W), from a file: 255 where it is white, 0 where black or transparent.

    Nearly white and nearly black ones, as files with losses have, count as white and black. Raise ValueError for a
    picture with transparent parts, of which either part could be meant.
    """
    on_black = open(path, background="black").value
    on_white = open(path, background="white").value
    is_opaque = (on_black == on_white).all(-1)
    if not is_opaque.all():
        drawn = on_black[is_opaque].astype(np.int16)
        is_colourful = (drawn.max(-1) - drawn.min(-1) > 32) | ((drawn.max(-1) > 64) & (drawn.min(-1) < 192))
        if is_colourful.mean() > 0.1:
            raise GenloomError("media.ambiguous_mask", path=path)
    levels = np.rint(on_black.mean(-1))
    return np.where(levels < MASK_TOLERANCE, 0, np.where(levels > 255 - MASK_TOLERANCE, 255, levels)).astype(np.uint8)


@dataclass(frozen=True)
class SaveOptions:
    """Changes to a copy of an image as it is saved."""

    size: int | None = option(
        None,
        "Longer side of copies, in pixels.",
        minimum=MIN_SIDE,
        maximum=4096,
    )
    colours: str | None = option(None, "Colours of copies: 6, or navy,#ffeedd.")
    transparent: bool | None = option(None, "Transparent background of copies.")

    def __post_init__(self) -> None:
        if self.colours is not None:
            from genloom.media.image.palette import read_palette

            read_palette(self.colours)


def save(item: Item, path: Path, options: SaveOptions = SaveOptions()) -> None:
    """Write the image in the format of the suffix (JPEG at quality 95) to a temporary file and rename it.

    An SVG has a path for each area of one colour.
    """
    path = Path(path)
    require_save_suffix(path)
    if path.suffix.lower() == SVG_SUFFIX:
        from genloom.media.image.vectorizing import draw_svg

        svg = draw_svg(item.value, options.colours or "", bool(options.transparent), options.size or 0).svg
        write_file(path, lambda file: file.write(svg.encode()))
        return
    format = SAVE_FORMATS[path.suffix.lower()]
    if options.transparent and format not in TRANSPARENT_FORMATS:
        raise GenloomError("media.no_transparency", path=path, suffix=path.suffix)
    picture = draw_copy(item.value, options)
    settings = {"quality": 95} if format == "JPEG" else {}
    write_file(path, lambda file: picture.save(file, format, **settings))


def draw_copy(value: np.ndarray, options: SaveOptions) -> "Image.Image":
    """Return the image as Pillow's, enlarged or reduced, in fewer colours and without its background as asked."""
    from PIL import Image

    if options.size is not None:
        from genloom.media.image.upscaling import resize_longer_side

        value = resize_longer_side(value, options.size)
    if options.colours is not None:
        from genloom.media.image.palette import reduce_colours

        value = reduce_colours(value, options.colours)
    if options.transparent:
        from genloom.media.image.background import make_transparent

        return Image.fromarray(make_transparent(value))
    return decoding.to_pil_image(value)


def require_save_suffix(path: Path) -> None:
    """Raise GenloomError for a suffix of no format that images are saved in."""
    if path.suffix.lower() not in (*SAVE_FORMATS, SVG_SUFFIX):
        raise GenloomError("media.bad_save_suffix", path=path, suffix=path.suffix or "such")


def enlarge_value(value: np.ndarray, factor: int, report: Callable[[float], object] = lambda share: None) -> np.ndarray:
    """Return the image 2, 3 or 4 times as large; `report` gets the share that is done."""
    from genloom.media.image.upscaling import upscale_picture

    return upscale_picture(value, factor, report)


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


def describe(value: np.ndarray) -> Mapping[str, float]:
    """Return the size, and shares of 100: lightness, each colour, chroma, edges, and what is not background."""
    return {"pixels": count_units(value), **describe_style(value)}


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
