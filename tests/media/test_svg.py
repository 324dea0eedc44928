"""Drawings are drawn from what is in them: no script runs, no file and no network is read, nothing explodes."""

import base64
import gzip
import io
import socket
import time
from pathlib import Path

import pytest
from PIL import Image

from genloom.media import image
from genloom.media.image import decoding

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
RED = '<rect width="10" height="10" fill="red"/>'


def svg(body: str, shape: str = 'viewBox="0 0 10 10"', before: str = "") -> bytes:
    return f"{before}{HEAD}{shape}>{body}</svg>".encode()


def test_a_drawing_has_the_size_that_is_asked_for(tmp_path: Path) -> None:
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


def test_scripts_and_lettering_are_left_out() -> None:
    body = '<script>alert(1)</script><rect width="10" height="10" fill="red" onclick="x()"/><text y="5">hello</text>'
    picture = decoding.decode_image(svg(body), max_side=16)
    assert (picture.pixels == (255, 0, 0)).all()
    assert picture.changes == (
        "its scripts were left out",
        "its lettering was left out, since no fonts are loaded",
    )


@pytest.mark.parametrize("element", ["image", "feImage", "use"])
@pytest.mark.parametrize("name", ["href", "xlink:href"])
@pytest.mark.parametrize("target", ["{file}", "file://{file}", "secret.png", "http://127.0.0.1:9/a.png", "//h/a.svg#b"])
def test_nothing_outside_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, element: str, name: str, target: str
) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (10, 10), "blue").save(secret)
    monkeypatch.chdir(tmp_path)

    def no_network(*_: object) -> None:
        raise AssertionError("a picture opened a socket")

    monkeypatch.setattr(socket, "socket", no_network)
    inside = f'<{element} width="10" height="10" {name}="{target.format(file=secret)}"/>'
    body = f'{RED}<filter id="f">{inside}</filter><rect filter="url(#f)"/>' if element == "feImage" else RED + inside
    with pytest.raises(ValueError, match="which is not fetched; save it with its pictures inside"):
        decoding.decode_image(svg(body))


def test_style_sheets_fetch_nothing(tmp_path: Path) -> None:
    secret = tmp_path / "secret.css"
    secret.write_text("rect { fill: blue }")
    before = f'<?xml-stylesheet href="{secret}"?>'
    body = f'<style>@import url("{secret}"); @font-face {{ font-family: a; src: url("{secret}") }}</style>{RED}'
    assert (decoding.decode_image(svg(body, before=before), max_side=16).pixels == (255, 0, 0)).all()


def embedded(data: bytes, kind: str = "png") -> bytes:
    return svg(f'<image width="10" height="10" href="data:image/{kind};base64,{base64.b64encode(data).decode()}"/>')


def test_a_picture_inside_is_drawn_within_bounds(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), "blue").save(tmp_path / "a.png")
    inner = (tmp_path / "a.png").read_bytes()
    large = io.BytesIO()
    Image.new("1", (11_000, 10_000)).save(large, "PNG")
    assert tuple(decoding.decode_image(embedded(inner), max_side=16).pixels[8, 8]) == (0, 0, 255)
    with pytest.raises(ValueError, match="a picture inside it cannot be read: it is too large"):
        decoding.decode_image(embedded(large.getvalue()))
    with pytest.raises(ValueError, match="a picture inside it cannot be read"):
        decoding.decode_image(embedded(b"nothing"))
    with pytest.raises(ValueError, match="it has another SVG inside it"):
        decoding.decode_image(embedded(svg(RED), "svg+xml"))


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
    ("data", "reason"),
    [
        (svg("<text>&a9;</text>", before=laughs(10)), "its entities refer to others"),
        (
            svg("<text>&x;</text>", before='<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>'),
            "its entities refer",
        ),
        (svg("<text>&x;</text>", before='<!DOCTYPE svg [<!ENTITY % x "a"><!ENTITY y "%x;">]>'), "its entities refer"),
        (
            svg("<text>" + "&x;" * 300_000 + "</text>", before=f'<!DOCTYPE svg [<!ENTITY x "{"y" * 9999}">]>'),
            "unfold|damaged",
        ),
        (svg("<g>" * 5_000 + "</g>" * 5_000), "nested too deep"),
        (svg("<g/>" * 300_000), "too many elements"),
        (svg("".join(f'<use id="u{i}" href="#u{i + 1}"/>' for i in range(5_000))), "references are nested too deep"),
        (svg(uses(9)), "too much to draw"),
        (svg(patterns(9, style=False)), "too much to draw"),
        (svg(patterns(9, style=True)), "too much to draw"),
        (
            svg("<g opacity='0.9'>" + RED + "</g>", "").replace(b"</svg>", b"<g opacity='0.9'/>" * 9_000 + b"</svg>"),
            "too much",
        ),
        (svg("<filter id='f'>" + "<feGaussianBlur/>" * 50 + "</filter>" + "<g filter='url(#f)'/>" * 99), "too much"),
        (
            svg("<marker id='m'>" + RED + "</marker><path marker-mid='url(#m)' d='M 0 0" + " L 9 9" * 99_000 + "'/>"),
            "too much",
        ),
        (svg("<path d='M 0 0" + " C 1 2 3 4 9 9" * 200_000 + "'/>"), "too much to draw"),
        (svg("<filter id='f'><feTurbulence numOctaves='1000000'/></filter>"), "its effect feTurbulence is not drawn"),
        (svg(RED, 'width="1e12" height="1e12"'), "no size, or one that no picture has"),
        (svg(RED, 'viewBox="0 0 0 10"'), "no size, or one that no picture has"),
        (svg(RED, 'width="1" height="1000000"'), "100 times as long as wide"),
        (svg(RED, 'viewBox="0 0 1 1000000"'), "100 times as long as wide"),
        (b"<html><body>no drawing</body></html>", "it is no SVG but a document of <html>"),
        (b"<svg", "it is damaged"),
        (gzip.compress(b"<svg " + b" " * (64 << 20), mtime=0), "it is larger than 16 MB"),
        (gzip.compress(svg(RED), mtime=0)[:30], "it is damaged"),
        (b"<" + svg(RED).decode()[1:].encode("utf-16-le"), "it is not UTF-8"),
        (svg("<path d='M 0 0 L 5 5'/>").replace(b"</svg>", b""), "it is damaged"),
    ],
)
def test_hostile_drawings_are_refused_at_once(data: bytes, reason: str) -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match=reason):
        decoding.decode_image(data)
    assert time.process_time() - began < 2


def test_loops_end() -> None:
    body = RED + '<g id="a"><use href="#b"/></g><g id="b"><use href="#a"/></g><use href="#a"/>'
    with pytest.raises(ValueError, match="it cannot be drawn"):
        decoding.decode_image(svg(body), max_side=16)


def test_odd_but_honest_drawings() -> None:
    for shape in (
        'width="24" height="24"',
        'width="100%" height="100%" viewBox="0 0 10 10"',
        'width="2in" height="2in"',
        "",
    ):
        picture = decoding.decode_image(svg(RED, shape), max_side=32)
        assert max(picture.pixels.shape[:2]) == 32
        assert tuple(picture.pixels[0, 0]) == (255, 0, 0)
