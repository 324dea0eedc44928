"""The medium image: opens the pictures people keep as uint8 RGB arrays, saves, previews and checks them."""

import io
import os
from pathlib import Path

import numpy as np

from genloom.media.image import decoding, terminal
from genloom.media.image.style_features import extract_style_features as extract_style_features
from genloom.types import DefaultRecipe, Item

kind: str = "image"
plural: str = "pictures"  # how people call several of them

suffixes: tuple[str, ...] = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".svg")

feature_extractor: str = "efficientnet"  # in which pictures are compared: a file of evaluate/features

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
MIN_SIDE = 16  # pixels a side, below which little can be seen
MIN_CONTRAST = 4.0  # standard deviation of the brightness, of 255, below which a picture shows next to nothing
MAX_ASPECT = 8  # times as long as it is wide


def open(path: Path, max_side: int = 0, background: str = decoding.BACKGROUND) -> Item:
    """The picture in a file as an Item: `value` uint8 (H, W, 3) in sRGB, `licence` what the file says of itself.

    A longer side above `side` pixels is brought down to it (0: never); a vector picture is drawn that large, or 512.
    What was transparent shows the `background`, a colour such as "white" or "#ffeedd". `meta` has the file's own
    `caption` ("" where it has none), `width` and `height` as they were, the share `transparent`, and `changes`.
    ValueError names the file, the reason and the cure.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(decoding.MAX_BYTES + 1)
        picture = decoding.decode_image(data, max_side, background)
    except OSError as error:
        raise ValueError(f"{path}: it could not be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return Item(picture.pixels, str(path), picture.licence or "unknown", picture.to_meta())


def save(item: Item, path: Path) -> None:
    """Writes the picture as its suffix says (JPEG at quality 95): aside first, then renamed."""
    path = Path(path)
    if path.suffix.lower() not in SAVE_FORMATS:
        raise ValueError(f"{path}: pictures are not written as {path.suffix or 'such'} files; name it .png")
    options = {"quality": 95} if SAVE_FORMATS[path.suffix.lower()] == "JPEG" else {}
    temp_path = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temp_path.open("wb") as file:
            decoding.to_pil_image(item.value).save(file, SAVE_FORMATS[path.suffix.lower()], **options)
            file.flush()
            os.fsync(file.fileno())
        temp_path.replace(path)
    except OSError as error:
        temp_path.unlink(missing_ok=True)
        raise ValueError(
            f"{path}: it could not be written: {error.strerror or error}; choose another place with --out"
        ) from error


def preview(item: Item, max_columns: int = 48) -> str:
    """The picture in the colours of a terminal, two pixels to a character, at most `columns` wide."""
    return terminal.render_ansi(item.value, max_columns)


def check(item: Item) -> list[str]:
    """What is wrong with the picture, in plain words; an empty list where nothing is."""
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


def encode(value: np.ndarray) -> bytes:
    """The picture as a PNG: lossless, and the same bytes for the same pixels."""
    buffer = io.BytesIO()
    decoding.to_pil_image(value).save(buffer, "PNG")
    return buffer.getvalue()


def decode(data: bytes) -> np.ndarray:
    """The pixels that `pack` was given, uint8 (H, W, 3); ValueError where the bytes are damaged."""
    return decoding.decode_image(data).pixels
