"""Drawings are drawn from what is in them: no script runs, no file and no network is read, nothing explodes."""

import base64
import gc
import gzip
import io
import socket
import time
from pathlib import Path

import pytest
from PIL import Image

from genloom.errors import GenloomError
from genloom.media import image
from genloom.media.image import decoding
from tests.errors import raises_code, raises_reason

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
RED = '<rect width="10" height="10" fill="red"/>'


def svg(body: str, shape: str = 'viewBox="0 0 10 10"', before: str = "") -> bytes:
    return f"{before}{HEAD}{shape}>{body}</svg>".encode()


def test_a_drawing_has_the_requested_size(tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    path.write_bytes(svg("<title>A red\n square</title>" + RED))
    item = image.open(path)
    assert item.value.shape == (512, 512, 3)
    assert (item.value == (255, 0, 0)).all()
    assert item.meta["caption"] == "A red square"
    assert image.open(path, max_side=64).value.shape == (64, 64, 3)
    wide = decoding.decode_image(svg(RED, 'viewBox="0 0 20 10"'), max_side=64, background="blue")
    assert wide.pixels.shape == (32, 64, 3)
    assert tuple(wide.pixels[16, 60]) == (0, 0, 255)
    assert wide.transparent_share == pytest.approx(0.5, abs=0.02)


def test_kinds_of_svg() -> None:
    packed = decoding.decode_image(gzip.compress(svg(RED), mtime=0), max_side=16)
    assert (packed.pixels == (255, 0, 0)).all()
    declared = svg(
        RED, before='\ufeff<?xml version="1.0"?>\n<!-- drawn -->\n<!DOCTYPE svg [<!ENTITY ns "http://x.y">]>'
    )
    assert (decoding.decode_image(declared, max_side=16).pixels == (255, 0, 0)).all()
    licensed = svg(
        RED + '<metadata><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:cc='
        '"http://creativecommons.org/ns#"><cc:Work><cc:license rdf:resource="http://creativecommons.org/licenses/by/4.0/"/>'
        "</cc:Work></rdf:RDF></metadata>"
    )
    assert decoding.decode_image(licensed).licence == "http://creativecommons.org/licenses/by/4.0/"


def test_scripts_and_text_are_removed() -> None:
    body = '<script>alert(1)</script><rect width="10" height="10" fill="red" onclick="x()"/><text y="5">hello</text>'
    picture = decoding.decode_image(svg(body), max_side=16)
    assert (picture.pixels == (255, 0, 0)).all()
    assert picture.changes == (
        "its scripts were removed",
        "its text was removed, since no fonts are loaded",
    )


@pytest.mark.parametrize("element", ["image", "feImage", "use"])
@pytest.mark.parametrize("name", ["href", "xlink:href"])
@pytest.mark.parametrize("target", ["{file}", "file://{file}", "secret.png", "http://127.0.0.1:9/a.png", "//h/a.svg#b"])
def test_external_references_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, element: str, name: str, target: str
) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (10, 10), "blue").save(secret)
    monkeypatch.chdir(tmp_path)

    def no_network(*_: object) -> None:
        raise AssertionError("an image opened a socket")

    monkeypatch.setattr(socket, "socket", no_network)
    inside = f'<{element} width="10" height="10" {name}="{target.format(file=secret)}"/>'
    body = f'{RED}<filter id="f">{inside}</filter><rect filter="url(#f)"/>' if element == "feImage" else RED + inside
    with raises_code("media.bad_href"):
        decoding.decode_image(svg(body))


def test_style_sheets_fetch_nothing(tmp_path: Path) -> None:
    secret = tmp_path / "secret.css"
    secret.write_text("rect { fill: blue }")
    before = f'<?xml-stylesheet href="{secret}"?>'
    body = f'<style>@import url("{secret}"); @font-face {{ font-family: a; src: url("{secret}") }}</style>{RED}'
    assert (decoding.decode_image(svg(body, before=before), max_side=16).pixels == (255, 0, 0)).all()


def embed_image(data: bytes, kind: str = "png") -> bytes:
    return svg(f'<image width="10" height="10" href="data:image/{kind};base64,{base64.b64encode(data).decode()}"/>')


def test_an_embedded_image_is_drawn_within_limits(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), "blue").save(tmp_path / "a.png")
    inner = (tmp_path / "a.png").read_bytes()
    large = io.BytesIO()
    Image.new("1", (11_000, 10_000)).save(large, "PNG")
    assert tuple(decoding.decode_image(embed_image(inner), max_side=16).pixels[8, 8]) == (0, 0, 255)
    with raises_reason("media.embedded_image_unreadable", "media.image_too_large"):
        decoding.decode_image(embed_image(large.getvalue()))
    with raises_reason("media.embedded_image_unreadable", "media.not_an_image"):
        decoding.decode_image(embed_image(b"nothing"))
    with raises_code("media.nested_svg"):
        decoding.decode_image(embed_image(svg(RED), "svg+xml"))


def laughs(levels: int) -> str:
    entities = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, levels))
    return f'<!DOCTYPE svg [<!ENTITY a0 "ha">{entities}]>'


def uses(levels: int) -> str:
    chain = "".join(f'<g id="u{i}">{f"""<use href="#u{i - 1}"/>""" * 10}</g>' for i in range(1, levels))
    return f'<defs><rect id="u0" width="1" height="1"/>{chain}</defs><use href="#u{levels - 1}"/>'


def patterns(levels: int, style: bool) -> str:
    def fill(i: int) -> str:
        return f'class="p{i}"' if style else f'fill="url(#p{i})"'

    chain = "".join(
        f'<pattern id="p{i}" width="5" height="5" patternUnits="userSpaceOnUse">'
        + f'<rect width="5" height="5" {fill(i - 1)}/>' * 10
        + "</pattern>"
        for i in range(1, levels)
    )
    sheet = "".join(f".p{i} {{ fill: url(#p{i}) }} " for i in range(levels)) if style else ""
    return f'<style>{sheet}</style>{chain}<rect width="10" height="10" {fill(levels - 1)}/>'


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (svg("<text>&a9;</text>", before=laughs(10)), "external_entities"),
        (
            svg("<text>&x;</text>", before='<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>'),
            "external_entities",
        ),
        (svg("<text>&x;</text>", before='<!DOCTYPE svg [<!ENTITY % x "a"><!ENTITY y "%x;">]>'), "external_entities"),
        (
            svg("<text>" + "&x;" * 300_000 + "</text>", before=f'<!DOCTYPE svg [<!ENTITY x "{"y" * 9999}">]>'),
            "entity_expansion|damaged_xml",  # depends on the version of expat
        ),
        (svg("<g>" * 5_000 + "</g>" * 5_000), "deep_xml"),
        (svg("<g/>" * 300_000), "deep_xml"),
        (svg("".join(f'<use id="u{i}" href="#u{i + 1}"/>' for i in range(5_000))), "svg_too_deep"),
        (svg(uses(9)), "svg_too_complex"),
        (svg(patterns(9, style=False)), "svg_too_complex"),
        (svg(patterns(9, style=True)), "svg_too_complex"),
        (
            svg("<g opacity='0.9'>" + RED + "</g>", "").replace(b"</svg>", b"<g opacity='0.9'/>" * 9_000 + b"</svg>"),
            "svg_too_complex",
        ),
        (
            svg("<filter id='f'>" + "<feGaussianBlur/>" * 50 + "</filter>" + "<g filter='url(#f)'/>" * 99),
            "svg_too_complex",
        ),
        (
            svg("<marker id='m'>" + RED + "</marker><path marker-mid='url(#m)' d='M 0 0" + " L 9 9" * 99_000 + "'/>"),
            "svg_too_complex",
        ),
        (svg("<path d='M 0 0" + " C 1 2 3 4 9 9" * 200_000 + "'/>"), "svg_too_complex"),
        (svg("<filter id='f'><feTurbulence numOctaves='1000000'/></filter>"), "unsupported_effect"),
        (svg(RED, 'width="1e12" height="1e12"'), "svg_without_size"),
        (svg(RED, 'viewBox="0 0 0 10"'), "svg_without_size"),
        (svg(RED, 'width="1" height="1000000"'), "elongated_svg"),
        (svg(RED, 'viewBox="0 0 1 1000000"'), "elongated_svg"),
        (b"<html><body>not a drawing</body></html>", "not_svg"),
        (b"<svg", "damaged_xml"),
        (gzip.compress(b"<svg " + b" " * (64 << 20), mtime=0), "xml_too_large"),
        (gzip.compress(svg(RED), mtime=0)[:30], "damaged_xml"),
        (b"<" + svg(RED).decode()[1:].encode("utf-16-le"), "not_utf8_svg"),
        (svg("<path d='M 0 0 L 5 5'/>").replace(b"</svg>", b""), "damaged_xml"),
    ],
)
def test_hostile_drawings_are_refused_at_once(data: bytes, code: str) -> None:
    gc.disable()  # what other tests left is not searched for garbage meanwhile
    began = time.process_time()
    with pytest.raises(GenloomError) as error:
        decoding.decode_image(data)
    gc.enable()
    assert error.value.code.removeprefix("media.") in code.split("|")
    assert time.process_time() - began < 2


def test_reference_cycles_are_refused() -> None:
    body = RED + '<g id="a"><use href="#b"/></g><g id="b"><use href="#a"/></g><use href="#a"/>'
    with raises_code("media.undrawable_svg"):
        decoding.decode_image(svg(body), max_side=16)


def test_unusual_but_valid_drawings() -> None:
    for shape in (
        'width="24" height="24"',
        'width="100%" height="100%" viewBox="0 0 10 10"',
        'width="2in" height="2in"',
        "",
    ):
        picture = decoding.decode_image(svg(RED, shape), max_side=32)
        assert max(picture.pixels.shape[:2]) == 32
        assert tuple(picture.pixels[0, 0]) == (255, 0, 0)


@pytest.mark.parametrize("size", ['width="8in" height="100%"', 'width="100%" height="100%"', 'width="50%"', ""])
def test_a_size_in_per_cent_has_the_shape_of_the_view_box(size: str) -> None:
    rectangle = '<rect width="80" height="60" fill="lime"/>'
    markup = f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 80 60">{rectangle}</svg>'
    pixels = decoding.decode_image(markup.encode(), 64).pixels
    assert pixels.shape == (48, 64, 3)
    assert (pixels == (0, 255, 0)).all()


def test_embedded_html_that_is_not_drawn_is_told() -> None:
    page = '<foreignObject width="80" height="60"><p xmlns="http://www.w3.org/1999/xhtml">Hi</p></foreignObject>'
    markup = f'<svg xmlns="http://www.w3.org/2000/svg" width="80" height="60">{page}<rect width="9" height="9"/></svg>'
    assert len(decoding.decode_image(markup.encode(), 64).changes) == 1
