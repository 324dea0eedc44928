"""Turns the bytes of a picture of any usual kind into sRGB pixels, its size looked at before it is unfolded."""

import io
import threading
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from genloom.media.image import file_metadata, svg

if TYPE_CHECKING:  # Pillow takes a twentieth of a second to import
    from PIL import Image

MAX_BYTES = 256 << 20
MAX_PIXELS = 100_000_000  # 300 MB of them, and as much again while they are converted
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")  # and no other reader of Pillow's is ever asked
BACKGROUND = "white"
DEFAULT_VECTOR_SIDE = 512  # pixels that a vector picture is drawn on, where nobody says
SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N")
_WARNINGS_LOCK = threading.Lock()  # warnings.catch_warnings changes what all threads share


@dataclass(frozen=True)
class Picture:
    """The pixels of a picture, uint8 (H, W, 3), with what was found and changed on the way to them."""

    pixels: np.ndarray
    width: int  # as it was before it was made smaller
    height: int
    format: str
    transparent_share: float  # share of pixels of which nothing shows
    metadata: file_metadata.FileMetadata
    changes: tuple[str, ...]

    @property
    def licence(self) -> str:
        """What the file says of its licence, "" where nothing."""
        return self.metadata.licence

    def to_meta(self) -> dict[str, Any]:
        """What an Item of the picture has in its `meta`."""
        return {
            "caption": self.metadata.caption, "format": self.format, "width": self.width, "height": self.height,
            "transparent": self.transparent_share, "changes": self.changes,
        }  # fmt: skip


def decode_image(data: bytes, max_side: int = 0, background: str = BACKGROUND) -> Picture:
    """The picture in the bytes of a file; its longer side at most `side` pixels (0: as it is; a vector picture: 512).

    ValueError gives the bare reason and the cure.
    """
    if not data:
        raise ValueError("it is empty")
    if len(data) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES >> 20} MB; save a smaller copy of it")
    if svg.is_svg(data):
        drawing = svg.parse_svg(data, check_raster=lambda inner: _open_image(inner).close())
        png = drawing.render(max_side or DEFAULT_VECTOR_SIDE)
        return _decode_raster(png, 0, background, "SVG", drawing.metadata, drawing.changes)
    return _decode_raster(data, max_side, background)


def to_pil_image(value: np.ndarray) -> "Image.Image":
    """A Pillow image of the pixels; what is no uint8 (H, W, 3) is a bug."""
    from PIL import Image

    assert (value.dtype, value.shape[2:]) == (np.uint8, (3,)), (value.dtype, value.shape)
    return Image.fromarray(np.ascontiguousarray(value))


def parse_colour(name: str) -> tuple[int, int, int]:
    """Red, green and blue of a colour's name or #rrggbb; ValueError names the cure."""
    from PIL import ImageColor

    try:
        return ImageColor.getrgb(name)[:3]
    except ValueError as error:
        raise ValueError(f"{name!r} is no colour; write white, black or one like #ffeedd") from error


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
            if (num_frames := getattr(image, "n_frames", 1)) > 1 and image.format != "TIFF":
                all_changes.append(f"the first of its {num_frames} frames was taken")
            if max_side and image.format == "JPEG":
                image.draft(
                    None, (2 * max_side, 2 * max_side)
                )  # a photo of any size is decoded no larger than is needed
            image.load()
            metadata = file_metadata.merge_metadata(metadata, file_metadata.read_embedded(image))
            upright_image = _apply_orientation(image)
            rgb_image, transparent_share = _composite_rgb(upright_image, background_rgb, all_changes)
            pixels = np.array(_shrink(rgb_image, max_side))
        except (ValueError, MemoryError):
            raise
        except Exception as error:  # decoders fail in many ways on damaged files, and each must cost one file only
            raise ValueError(f"it is damaged or cut short ({str(error)[:80] or type(error).__name__})") from error
    if upright_image.size != image.size and (width > height) != (upright_image.width > upright_image.height):
        width, height = height, width
    return Picture(pixels, width, height, format or str(image.format), transparent_share, metadata, tuple(all_changes))


def _open_image(data: bytes) -> "Image.Image":
    """The image with only its header read, of a size that is bounded."""
    from PIL import Image, UnidentifiedImageError

    try:
        with _WARNINGS_LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is looked at here, and a damaged part shows when it is decoded
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ValueError(_too_large_message(str(error))) from error
    except UnidentifiedImageError as error:
        raise ValueError("it is damaged or not a picture (png, jpg, webp, gif, bmp, tiff or svg)") from error
    except Exception as error:  # as above
        raise ValueError(f"it is damaged ({str(error)[:80] or type(error).__name__})") from error
    if min(image.size) < 1:
        raise ValueError("it has no pixels")
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(_too_large_message(f"{image.width:,} × {image.height:,} pixels"))
    return image


def _too_large_message(what: str) -> str:
    return f"it is too large ({what}; {MAX_PIXELS // 1_000_000} million pixels are allowed); save a smaller copy"


def _apply_orientation(image: "Image.Image") -> "Image.Image":
    """The image turned as its EXIF orientation says; a damaged EXIF block turns nothing."""
    from PIL import ImageOps

    try:
        with _WARNINGS_LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ImageOps.exif_transpose(image)
    except Exception:  # EXIF is a free-form directory of offsets: a damaged one must not cost the picture
        return image


def _composite_rgb(
    image: "Image.Image", background: tuple[int, int, int], changes: list[str]
) -> tuple["Image.Image", float]:
    """The image as sRGB on the background, and the share of it that was transparent. Appends to `changes`."""
    from PIL import Image

    profile = image.read_tensor_info.get("icc_profile")
    image = _to_eight_bits(image, changes)
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
    if image.mode in ("CMYK", "YCbCr", "LAB"):
        changes.append(f"{image.mode} was made RGB")
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
        changes.append("16 bits a pixel were made 8")
        return Image.fromarray(np.round(np.asarray(image) / 257.0).astype(np.uint8))
    if image.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image, np.float64), posinf=0, neginf=0)
        changes.append("its numbers were scaled to the range of a screen")
        return Image.fromarray(((values - values.min()) * (255 / max(np.ptp(values), 1e-9))).astype(np.uint8))
    return image


def _convert_to_srgb(image: "Image.Image", profile: bytes, changes: list[str]) -> "Image.Image | None":
    """The colours by the profile in the file; None where it is damaged or not of the image's kind."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        name = ImageCms.getProfileDescription(source).strip()
        if "srgb" in name.lower() and image.mode in ("RGB", "RGBA"):
            return None
        source_image = image if image.mode in ("L", "RGB", "CMYK", "LAB") else image.convert("RGB")
        srgb_image = ImageCms.profileToProfile(source_image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        changes.append("its colour profile is damaged and was left out")
        return None
    changes.append(f"its colours were made sRGB from {name[:60] or 'its profile'}")
    return srgb_image


def _shrink(image: "Image.Image", max_side: int) -> "Image.Image":
    from PIL import Image

    longer_side = max(image.size)
    if not max_side or longer_side <= max_side:
        return image
    size = (max(1, round(image.width * max_side / longer_side)), max(1, round(image.height * max_side / longer_side)))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
