"""Images of every common format become sRGB pixels, and problems are reported."""

import contextlib
import io
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from genloom.errors import GenloomError
from genloom.media import image
from genloom.media.image import decoding
from genloom.media.saving import write_file
from genloom.types import Item
from tests.errors import raises_code, raises_reason

RED, GREEN = (200, 30, 20), (20, 160, 60)


def scene(height: int = 24, width: int = 32) -> np.ndarray:
    """A smooth picture no two pixels of which are alike, its left upper corner dark and its right red."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns * 240 / width, rows * 240 / height, 40 + rows * 0], axis=-1).astype(np.uint8)


def encode_image(picture: Image.Image, format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def test_a_saved_image_is_opened_again(tmp_path: Path) -> None:
    pixels = scene()
    for suffix in image.SAVE_FORMATS:
        path = tmp_path / f"picture{suffix}"
        image.save(Item(pixels), path)
        item = image.open(path)
        assert item.value.shape == pixels.shape
        assert item.value.dtype == np.uint8
        lossless = suffix in (".png", ".bmp", ".tif", ".tiff")
        assert np.abs(item.value.astype(int) - pixels).mean() <= (0 if lossless else 8)
        assert item.source == str(path)
        assert (item.licence, item.meta["caption"]) == ("unknown", "")
    assert {path.suffix for path in tmp_path.iterdir()} == set(image.SAVE_FORMATS)  # no temporary file is left


def test_an_image_is_written_completely_or_not_at_all(tmp_path: Path) -> None:
    with raises_code("media.bad_save_suffix", suffix=".xyz"):
        image.save(Item(scene()), tmp_path / "a.xyz")
    with raises_code("media.unwritable", path=tmp_path / "nowhere" / "a.png"):
        image.save(Item(scene()), tmp_path / "nowhere" / "a.png")
    for error in (ValueError("no such colour"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            write_file(tmp_path / "a.png", lambda file, error=error: fail_after(file, error))
    assert list(tmp_path.iterdir()) == []


def fail_after(file: BinaryIO, error: BaseException) -> None:
    file.write(b"half")
    raise error


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.randoms(use_true_random=False))
def test_decode_inverts_encode(height: int, width: int, random) -> None:
    pixels = np.frombuffer(random.randbytes(height * width * 3), np.uint8).reshape(height, width, 3)
    packed = image.encode(pixels)
    assert np.array_equal(image.decode(packed), pixels)
    assert image.encode(pixels) == packed


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"]), st.data())
def test_a_damaged_image_is_one_error_or_pixels(format: str, data) -> None:
    """Any damage gives pixels or a ValueError, never another error."""
    good = bytearray(encode_image(Image.fromarray(scene()), format))
    for _ in range(data.draw(st.integers(1, 6))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(good[: data.draw(st.integers(0, len(good)))])
    with contextlib.suppress(ValueError):
        assert decoding.decode_image(damaged).pixels.shape[2] == 3


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_truncated_image_is_refused(tmp_path: Path, format: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    whole = encode_image(Image.fromarray(noise), format)
    path = tmp_path / f"a.{format.lower()}"
    path.write_bytes(whole[: len(whole) // 2])
    with raises_reason("media.unreadable", "media.damaged_image", path=path):
        image.open(path)


def test_other_files_and_missing_files_are_refused(tmp_path: Path) -> None:
    for content, reason in (
        (b"", "media.empty_file"),
        (b"hello, I am a text", "media.not_an_image"),
        (b"\x89PNG\r\n", "media.not_an_image"),
    ):
        (tmp_path / "a.png").write_bytes(content)
        with raises_reason("media.unreadable", reason):
            image.open(tmp_path / "a.png")
    with raises_code("media.unreadable_file", path=tmp_path / "b.png"):
        image.open(tmp_path / "b.png")


def bomb(width: int, height: int) -> bytes:
    """A small PNG whose header promises any number of pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(20_000, 20_000), (12_000, 9_000), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_refused_by_its_header(size: tuple[int, int]) -> None:
    with raises_code("media.image_too_large", limit=100):
        decoding.decode_image(bomb(*size))


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(GenloomError) as error:
        decoding.decode_image(bomb(0, 5))
    assert error.value.code in ("media.damaged_image", "media.not_an_image", "media.no_pixels")


def test_the_first_frame_of_an_animation_is_used() -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in (RED, GREEN, (0, 0, 255))]
    for format in ("GIF", "WEBP", "PNG", "TIFF"):
        data = encode_image(
            frames[0],
            format,
            save_all=True,
            append_images=frames[1:],
            **({} if format in ("GIF", "TIFF") else {"lossless": True}),
        )
        picture = decoding.decode_image(data)
        assert np.abs(picture.pixels.astype(int) - RED).max() < 4
        assert picture.changes == ("the first of its 3 frames was used",)


def test_pages_that_are_damaged_or_in_a_circle_cost_no_picture() -> None:
    whole = encode_image(Image.new("RGB", (8, 6), RED), "TIFF")
    start = int.from_bytes(whole[4:8], "little")
    place = start + 2 + 12 * int.from_bytes(whole[start : start + 2], "little")
    assert whole[place : place + 4] == bytes(4), "there is no further page"
    for next_page in (start, len(whole) - 1, 1 << 30):
        data = whole[:place] + next_page.to_bytes(4, "little") + whole[place + 4 :]
        assert np.abs(decoding.decode_image(data).pixels.astype(int) - RED).max() < 4


def test_every_kind_of_pixel_becomes_eight_bits_of_rgb() -> None:
    ramp = np.linspace(0, 65535, 256, dtype=np.uint16).reshape(16, 16)
    deep = decoding.decode_image(encode_image(Image.fromarray(ramp)))
    assert np.array_equal(deep.pixels[..., 0].ravel(), np.arange(256))
    assert deep.changes == ("converted from 16 bits to 8",)
    cmyk = decoding.decode_image(encode_image(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95))
    assert np.abs(cmyk.pixels[4, 4].astype(int) - (255, 0, 0)).max() < 30
    assert "converted from CMYK to RGB" in cmyk.changes
    real = decoding.decode_image(
        encode_image(Image.fromarray(np.linspace(-3, 9, 64, dtype=np.float32).reshape(8, 8)), "TIFF")
    )
    assert (real.pixels.min(), real.pixels.max()) == (0, 255)
    for mode in ("1", "L", "P"):
        drawn = decoding.decode_image(encode_image(Image.fromarray(scene()).convert(mode)))
        assert drawn.pixels.shape == (24, 32, 3)
        assert np.corrcoef(drawn.pixels.mean(axis=2).ravel(), scene().mean(axis=2).ravel())[0, 1] > 0.3


def test_transparent_pixels_show_the_background() -> None:
    clear = Image.new("RGBA", (10, 10), (0, 0, 0, 0))
    clear.paste((*RED, 255), (0, 0, 5, 10))
    picture = decoding.decode_image(encode_image(clear))
    assert tuple(picture.pixels[0, 0]) == RED
    assert tuple(picture.pixels[0, 9]) == (255, 255, 255)
    assert picture.transparent_share == 0.5
    assert tuple(decoding.decode_image(encode_image(clear), background="#102030").pixels[0, 9]) == (16, 32, 48)
    half = decoding.decode_image(encode_image(Image.new("LA", (4, 4), (0, 128))))
    assert 125 <= half.pixels[0, 0, 0] <= 129
    palette = clear.convert("P")
    palette.info["transparency"] = palette.getpixel((9, 0))
    assert tuple(decoding.decode_image(encode_image(palette, transparency=palette.getpixel((9, 0)))).pixels[0, 9]) == (
        255,
        255,
        255,
    )
    with raises_code("media.bad_colour", name="reddish"):
        decoding.decode_image(encode_image(clear), background="reddish")


def test_a_photo_is_turned_upright() -> None:
    upright = Image.fromarray(scene(24, 32))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    picture = decoding.decode_image(encode_image(upright.rotate(90, expand=True), "JPEG", exif=exif, quality=95))
    assert picture.pixels.shape == (24, 32, 3)
    assert (picture.width, picture.height) == (32, 24)
    assert np.abs(picture.pixels.astype(int) - scene()).mean() < 4


def test_colours_follow_the_profile() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = scene()
    assert np.array_equal(decoding.decode_image(encode_image(Image.fromarray(pixels), icc_profile=srgb)).pixels, pixels)
    for broken in (lab, b"no profile at all"):
        picture = decoding.decode_image(encode_image(Image.fromarray(pixels), icc_profile=broken))
        assert np.array_equal(picture.pixels, pixels)
        assert picture.changes == ("its colour profile is damaged and was ignored",)


def test_a_large_image_is_resized() -> None:
    large = Image.fromarray(scene(300, 600))
    for format in ("PNG", "JPEG"):
        picture = decoding.decode_image(encode_image(large, format), max_side=60)
        assert picture.pixels.shape == (30, 60, 3)
        assert (picture.width, picture.height) == (600, 300)
        assert np.abs(picture.pixels[15, 30].astype(int) - scene(300, 600)[150, 300]).max() < 8
    assert decoding.decode_image(encode_image(Image.fromarray(scene())), max_side=60).pixels.shape == (24, 32, 3)
    assert decoding.decode_image(encode_image(Image.new("RGB", (4000, 2))), max_side=100).pixels.shape == (1, 100, 3)


def test_metadata_of_a_file() -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x8298] = "A red\n fox ", "CC-BY-4.0"
    said = decoding.decode_image(encode_image(Image.fromarray(scene()), "JPEG", exif=exif))
    assert (said.metadata.caption, said.licence) == ("A red fox", "CC-BY-4.0")
    xmp = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:description><rdf:Alt>'
        '<rdf:li xml:lang="x-default">A blue whale</rdf:li></rdf:Alt></dc:description></rdf:Description></rdf:RDF>'
        "</x:xmpmeta>"
    )
    assert (
        decoding.decode_image(encode_image(Image.fromarray(scene()), "WEBP", xmp=xmp.encode())).metadata.caption
        == "A blue whale"
    )
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Description", "A green leaf")
    texts.add_text("Copyright", "me")
    said = decoding.decode_image(encode_image(Image.fromarray(scene()), pnginfo=texts))
    assert (said.metadata.caption, said.licence) == ("A green leaf", "me")
    exif[0x010E] = "Füchse im Café".encode()
    said = decoding.decode_image(encode_image(Image.fromarray(scene()), "JPEG", exif=exif))
    assert said.metadata.caption == "Füchse im Café"
    exif[0x010E] = "OLYMPUS DIGITAL CAMERA"
    assert decoding.decode_image(encode_image(Image.fromarray(scene()), "JPEG", exif=exif)).metadata.caption == ""


@pytest.mark.parametrize(
    ("pixels", "meta", "problem"),
    [
        (np.full((40, 40, 3), 255, np.uint8), {}, "it is blank: one colour all over"),
        (np.random.default_rng(0).integers(250, 254, (40, 40, 3), np.uint8), {}, "it is nearly one colour all over"),
        (scene(8, 12), {}, "it is tiny: 12 × 8 pixels"),
        (scene(20, 400), {}, "it is a narrow strip: 400 × 20 pixels"),
        (scene(), {"transparent": 0.97}, "it is mostly transparent (97%)"),
    ],
)
def test_problems_are_listed(pixels: np.ndarray, meta: dict, problem: str) -> None:
    assert image.check(Item(pixels, meta=meta)) == [problem]
    assert image.check(Item(scene())) == []


def test_a_terminal_shows_two_pixels_per_character() -> None:
    lines = image.preview(Item(scene(40, 80)), max_columns=20).split("\n")
    assert len(lines) == 5
    assert all(line.count("▀") == 20 and line.endswith("\x1b[0m") for line in lines)
    flat = image.preview(Item(np.full((4, 4, 3), 7, np.uint8)))
    assert flat == "\n".join(["\x1b[38;2;7;7;7m\x1b[48;2;7;7;7m▀▀▀▀\x1b[0m"] * 2)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "RGB", "L"])
def test_what_is_transparent_in_a_mask_counts_as_black(mode: str, tmp_path: Path) -> None:
    """A white square on a transparent layer marks the square; flattened on white it was everything."""
    pixels = np.zeros((8, 10, 4), np.uint8)
    pixels[2:5, 3:7] = 255
    Image.fromarray(pixels).convert(mode).save(tmp_path / "mask.png")
    assert np.array_equal(image.open_mask(tmp_path / "mask.png"), pixels[..., 3])


def test_the_colour_of_a_mask_counts_times_its_alpha(tmp_path: Path) -> None:
    pixels = np.full((1, 4, 4), 255, np.uint8)
    pixels[0, :, 3] = (0, 100, 200, 255)
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    assert image.open_mask(tmp_path / "mask.png").tolist() == [[0, 100, 200, 255]]


def test_a_mask_has_levels_between_black_and_white(tmp_path: Path) -> None:
    """A soft brush is honoured; what a file with losses makes of black and white is black and white."""
    levels = np.array([[0, 7, 60, 128, 200, 249, 255]], np.uint8)
    Image.fromarray(levels).save(tmp_path / "mask.png")
    assert image.open_mask(tmp_path / "mask.png").tolist() == [[0, 0, 60, 128, 200, 255, 255]]


def test_a_picture_with_a_hole_is_no_mask(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    pixels[5:10, 5:10, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    with raises_code("media.ambiguous_mask", path=tmp_path / "photo.png"):
        image.open_mask(tmp_path / "photo.png")
