"""Decoding of common image formats to sRGB pixels; the size is checked before decompression."""

import io
import threading
import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from genloom.errors import GenloomError
from genloom.media.image import file_metadata, svg

if TYPE_CHECKING:  # Pillow takes a twentieth of a second to import
    from PIL import Image

MAX_BYTES = 256 << 20
MAX_PIXELS = 100_000_000  # 300 MB, and as much again during conversion
MAX_PAGES = 1000  # of a TIFF that are counted
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")  # no other reader of Pillow is used
BACKGROUND = "white"
DEFAULT_VECTOR_SIDE = 512  # pixels of a vector image if no size is given
SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N")
_WARNINGS_LOCK = threading.Lock()  # warnings.catch_warnings changes state shared by all threads


@dataclass(frozen=True)
class Picture:
    """The pixels of an image, uint8 (H, W, 3), with its metadata and the changes made by decoding."""

    pixels: np.ndarray
    width: int  # before resizing
    height: int
    format: str
    transparent_share: float  # share of fully transparent pixels
    metadata: file_metadata.FileMetadata
    changes: tuple[str, ...]

    @property
    def licence(self) -> str:
        """The licence that the file states; "" for none."""
        return self.metadata.licence

    def to_meta(self) -> dict[str, Any]:
        """Return the `meta` of an Item."""
        return {
            "caption": self.metadata.caption, "format": self.format, "width": self.width, "height": self.height,
            "transparent": self.transparent_share, "changes": self.changes,
        }  # fmt: skip


def decode_image(data: bytes, max_side: int = 0, background: str = BACKGROUND) -> Picture:
    """Decode the bytes of a file; the longer side is at most `max_side` pixels (0: unchanged; a vector image: 512).

    Raise ValueError with the reason and the cure.
    """
    if not data:
        raise GenloomError("media.empty_file")
    if len(data) > MAX_BYTES:
        raise GenloomError("media.image_file_too_large", limit=MAX_BYTES >> 20)
    if svg.is_svg(data):
        drawing = svg.parse_svg(data, _count_pixels)
        png = drawing.render(max_side or DEFAULT_VECTOR_SIDE)
        return _decode_raster(png, 0, background, "SVG", drawing.metadata, drawing.changes)
    return _decode_raster(data, max_side, background)


def to_pil_image(value: np.ndarray) -> "Image.Image":
    """Return a Pillow image of uint8 (H, W, 3) pixels."""
    from PIL import Image

    assert (value.dtype, value.shape[2:]) == (np.uint8, (3,)), (value.dtype, value.shape)
    return Image.fromarray(np.ascontiguousarray(value))


def parse_colour(name: str) -> tuple[int, int, int]:
    """Return red, green and blue of a colour name or #rrggbb; ValueError names the cure."""
    from PIL import ImageColor

    try:
        return ImageColor.getrgb(name)[:3]
    except ValueError as error:
        raise GenloomError("media.bad_colour", name=name) from error


def _decode_raster(
    data: bytes,
    max_side: int,
    background: str,
    format: str = "",
    metadata: file_metadata.FileMetadata = file_metadata.NO_METADATA,
    changes: tuple[str, ...] = (),
) -> Picture:
    background_rgb = parse_colour(background)
    with _open_image(data) as image:
        width, height = image.size
        try:
            all_changes = [*changes]
            if (num_frames := _count_frames(image, data)) > 1:
                all_changes.append(f"the first of its {num_frames} frames was used")
            if max_side and image.format == "JPEG":
                image.draft(None, (2 * max_side, 2 * max_side))  # decodes a large photo at reduced size
            image.load()
            metadata = file_metadata.merge_metadata(metadata, file_metadata.read_embedded(image))
            upright_image = _apply_orientation(image)
            rgb_image, transparent_share = _composite_rgb(upright_image, background_rgb, all_changes)
            pixels = np.array(_shrink_image(rgb_image, max_side))
        except (ValueError, MemoryError):
            raise
        except Exception as error:  # decoders fail in many ways on damaged files, and each must cost one file only
            reason = str(error)[:80] or type(error).__name__
            raise GenloomError("media.damaged_image", reason=reason) from error
    if upright_image.size != image.size and (width > height) != (upright_image.width > upright_image.height):
        width, height = height, width
    return Picture(pixels, width, height, format or str(image.format), transparent_share, metadata, tuple(all_changes))


def _count_frames(image: "Image.Image", data: bytes) -> int:
    """Return the number of frames, or of the pages of a TIFF up to the first damaged one."""
    if image.format != "TIFF":
        return getattr(image, "n_frames", 1)
    num_pages = 1  # Pillow would count those of a file with millions of them, and stay at the damaged one
    with suppress(Exception), _open_image(data) as pages:
        while num_pages < MAX_PAGES:
            pages.seek(num_pages)
            num_pages += 1
    return num_pages


def _open_image(data: bytes) -> "Image.Image":
    """Open an image, reading only its header, and check its size."""
    from PIL import Image, UnidentifiedImageError

    try:
        with _WARNINGS_LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is checked below, and damage shows during decoding
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_large_error(str(error)) from error
    except UnidentifiedImageError as error:
        raise GenloomError("media.not_an_image") from error
    except Exception as error:  # as above
        raise GenloomError("media.damaged_image", reason=str(error)[:80] or type(error).__name__) from error
    if min(image.size) < 1:
        raise GenloomError("media.no_pixels")
    if image.width * image.height > MAX_PIXELS:
        raise _too_large_error(f"{image.width:,} × {image.height:,} pixels")
    return image


def _count_pixels(data: bytes) -> int:
    with _open_image(data) as image:
        return image.width * image.height


def _too_large_error(size: str) -> GenloomError:
    return GenloomError("media.image_too_large", size=size, limit=MAX_PIXELS // 1_000_000)


def _apply_orientation(image: "Image.Image") -> "Image.Image":
    """Rotate the image by its EXIF orientation; ignore a damaged EXIF block."""
    from PIL import ImageOps

    try:
        with _WARNINGS_LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ImageOps.exif_transpose(image)
    except Exception:  # EXIF is a free-form directory of offsets: a damaged one must not cost the image
        return image


def _composite_rgb(
    image: "Image.Image", background: tuple[int, int, int], changes: list[str]
) -> tuple["Image.Image", float]:
    """Return the image in sRGB on the background, and its transparent share; append to `changes`."""
    from PIL import Image

    profile = image.info.get("icc_profile")
    image = _to_eight_bits(image, changes)
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
    if image.mode in ("CMYK", "YCbCr", "LAB"):
        changes.append(f"converted from {image.mode} to RGB")
    rgb = _convert_to_srgb(image, profile, changes) if profile else None
    if rgb is None:
        rgb = image if image.mode == "RGB" else image.convert("RGB")
    if alpha is None:
        return rgb, 0.0
    canvas = Image.new("RGB", image.size, background)
    canvas.paste(rgb, mask=alpha)
    return canvas, alpha.histogram()[0] / (image.width * image.height)


def _to_eight_bits(image: "Image.Image", changes: list[str]) -> "Image.Image":
    from PIL import Image

    if image.mode in SIXTEEN_BIT_MODES:
        changes.append("converted from 16 bits to 8")
        return Image.fromarray(np.round(np.asarray(image) / 257.0).astype(np.uint8))
    if image.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image, np.float64), posinf=0, neginf=0)
        changes.append("its values were scaled to 8 bits")
        return Image.fromarray(((values - values.min()) * (255 / max(np.ptp(values), 1e-9))).astype(np.uint8))
    return image


def _convert_to_srgb(image: "Image.Image", profile: bytes, changes: list[str]) -> "Image.Image | None":
    """Convert the colours by the file's profile; None if it is damaged, or sRGB already."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        name = ImageCms.getProfileDescription(source).strip()
        if "srgb" in name.lower() and image.mode in ("RGB", "RGBA"):
            return None
        source_image = image if image.mode in ("L", "RGB", "CMYK", "LAB") else image.convert("RGB")
        srgb_image = ImageCms.profileToProfile(source_image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        changes.append("its colour profile is damaged and was ignored")
        return None
    changes.append(f"its colours were converted to sRGB from {name[:60] or 'its profile'}")
    return srgb_image


def _shrink_image(image: "Image.Image", max_side: int) -> "Image.Image":
    from PIL import Image

    longer_side = max(image.size)
    if not max_side or longer_side <= max_side:
        return image
    size = (max(1, round(image.width * max_side / longer_side)), max(1, round(image.height * max_side / longer_side)))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
