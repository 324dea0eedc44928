"""Turns the bytes of a picture of any usual kind into sRGB pixels, its size looked at before it is unfolded."""

import io
import threading
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from genloom.media.image import description, vector

if TYPE_CHECKING:  # Pillow takes a twentieth of a second to import
    from PIL import Image

BYTES_AT_MOST = 256 << 20
PIXELS_AT_MOST = 100_000_000  # 300 MB of them, and as much again while they are converted
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")  # and no other reader of Pillow's is ever asked
BACKGROUND = "white"
VECTOR_SIDE = 512  # pixels that a vector picture is drawn on, where nobody says
DEEP = ("I;16", "I;16B", "I;16L", "I;16N")
_FILTERS = threading.Lock()  # warnings.catch_warnings changes what all threads share


@dataclass(frozen=True)
class Picture:
    """The pixels of a picture, uint8 (H, W, 3), with what was found and changed on the way to them."""

    pixels: np.ndarray
    width: int  # as it was before it was made smaller
    height: int
    format: str
    transparent: float  # share of pixels of which nothing shows
    said: description.Description
    changes: tuple[str, ...]

    @property
    def licence(self) -> str:
        """What the file says of its licence, "" where nothing."""
        return self.said.licence

    def facts(self) -> dict[str, Any]:
        """What an Item of the picture has in its `meta`."""
        return {
            "caption": self.said.caption, "format": self.format, "width": self.width, "height": self.height,
            "transparent": self.transparent, "changes": self.changes,
        }  # fmt: skip


def decode(data: bytes, side: int = 0, background: str = BACKGROUND) -> Picture:
    """The picture in the bytes of a file; its longer side at most `side` pixels (0: as it is; a vector picture: 512).

    ValueError gives the bare reason and the cure.
    """
    if not data:
        raise ValueError("it is empty")
    if len(data) > BYTES_AT_MOST:
        raise ValueError(f"it is larger than {BYTES_AT_MOST >> 20} MB; save a smaller copy of it")
    if vector.is_svg(data):
        drawing = vector.parse(data, check_raster=lambda inner: _opened(inner).close())
        drawn = drawing.render(side or VECTOR_SIDE)
        return _guarded(drawn, 0, background, "SVG", drawing.said, drawing.changes)
    return _guarded(data, side, background)


def image_of(value: np.ndarray) -> "Image.Image":
    """A Pillow image of the pixels; what is no uint8 (H, W, 3) is a bug."""
    from PIL import Image

    assert (value.dtype, value.shape[2:]) == (np.uint8, (3,)), (value.dtype, value.shape)
    return Image.fromarray(np.ascontiguousarray(value))


def colour(name: str) -> tuple[int, int, int]:
    """Red, green and blue of a colour's name or #rrggbb; ValueError names the cure."""
    from PIL import ImageColor

    try:
        return ImageColor.getrgb(name)[:3]
    except ValueError as error:
        raise ValueError(f"{name!r} is no colour; write white, black or one like #ffeedd") from error


def _guarded(
    data: bytes,
    side: int,
    background: str,
    format: str = "",
    said: description.Description = description.NOTHING,
    changes: tuple[str, ...] = (),
) -> Picture:
    shown_on = colour(background)
    with _opened(data) as image:
        width, height = image.size
        try:
            found = [*changes]
            if (frames := getattr(image, "n_frames", 1)) > 1 and image.format != "TIFF":
                found.append(f"the first of its {frames} frames was taken")
            if side and image.format == "JPEG":
                image.draft(None, (2 * side, 2 * side))  # a photo of any size is decoded no larger than is needed
            image.load()
            said = description.merged(said, description.embedded(image))
            upright = _upright(image)
            flat, clear = _flat(upright, shown_on, found)
            pixels = np.array(_reduced(flat, side))
        except (ValueError, MemoryError):
            raise
        except Exception as error:  # decoders fail in many ways on damaged files, and each must cost one file only
            raise ValueError(f"it is damaged or cut short ({str(error)[:80] or type(error).__name__})") from error
    if upright.size != image.size and (width > height) != (upright.width > upright.height):
        width, height = height, width
    return Picture(pixels, width, height, format or str(image.format), clear, said, tuple(found))


def _opened(data: bytes) -> "Image.Image":
    """The image with only its header read, of a size that is bounded."""
    from PIL import Image, UnidentifiedImageError

    try:
        with _FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is looked at here, and a damaged part shows when it is decoded
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ValueError(_too_large(str(error))) from error
    except UnidentifiedImageError as error:
        raise ValueError("it is damaged or not a picture (png, jpg, webp, gif, bmp, tiff or svg)") from error
    except Exception as error:  # as above
        raise ValueError(f"it is damaged ({str(error)[:80] or type(error).__name__})") from error
    if min(image.size) < 1:
        raise ValueError("it has no pixels")
    if image.width * image.height > PIXELS_AT_MOST:
        raise ValueError(_too_large(f"{image.width:,} × {image.height:,} pixels"))
    return image


def _too_large(what: str) -> str:
    return f"it is too large ({what}; {PIXELS_AT_MOST // 1_000_000} million pixels are allowed); save a smaller copy"


def _upright(image: "Image.Image") -> "Image.Image":
    """The image turned as its EXIF orientation says; a damaged EXIF block turns nothing."""
    from PIL import ImageOps

    try:
        with _FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ImageOps.exif_transpose(image)
    except Exception:  # EXIF is a free-form directory of offsets: a damaged one must not cost the picture
        return image


def _flat(image: "Image.Image", background: tuple[int, int, int], changes: list[str]) -> tuple["Image.Image", float]:
    """The image as sRGB on the background, and the share of it that was transparent. Appends to `changes`."""
    from PIL import Image

    profile = image.info.get("icc_profile")
    image = _eight_bits(image, changes)
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
    if image.mode in ("CMYK", "YCbCr", "LAB"):
        changes.append(f"{image.mode} was made RGB")
    rgb = _in_srgb(image, profile, changes) if profile else None
    if rgb is None:
        rgb = image if image.mode == "RGB" else image.convert("RGB")
    if alpha is None:
        return rgb, 0.0
    shown = Image.new("RGB", image.size, background)
    shown.paste(rgb, mask=alpha)
    return shown, alpha.histogram()[0] / (image.width * image.height)


def _eight_bits(image: "Image.Image", changes: list[str]) -> "Image.Image":
    from PIL import Image

    if image.mode in DEEP:
        changes.append("16 bits a pixel were made 8")
        return Image.fromarray(np.round(np.asarray(image) / 257.0).astype(np.uint8))
    if image.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image, np.float64), posinf=0, neginf=0)
        changes.append("its numbers were scaled to the range of a screen")
        return Image.fromarray(((values - values.min()) * (255 / max(np.ptp(values), 1e-9))).astype(np.uint8))
    return image


def _in_srgb(image: "Image.Image", profile: bytes, changes: list[str]) -> "Image.Image | None":
    """The colours by the profile in the file; None where it is damaged or not of the image's kind."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        name = ImageCms.getProfileDescription(source).strip()
        if "srgb" in name.lower() and image.mode in ("RGB", "RGBA"):
            return None
        plain = image if image.mode in ("L", "RGB", "CMYK", "LAB") else image.convert("RGB")
        made = ImageCms.profileToProfile(plain, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        changes.append("its colour profile is damaged and was left out")
        return None
    changes.append(f"its colours were made sRGB from {name[:60] or 'its profile'}")
    return made


def _reduced(image: "Image.Image", side: int) -> "Image.Image":
    from PIL import Image

    longer = max(image.size)
    if not side or longer <= side:
        return image
    size = (max(1, round(image.width * side / longer)), max(1, round(image.height * side / longer)))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
