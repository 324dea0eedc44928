"""Headings and pages of documents: named by their level and place, so that a passage can be cited."""

import zipfile
from pathlib import Path

import docx

from genloom.media import text
from genloom.media.text.bounded import join_pages
from genloom.media.text.headings import Heading, find_html_headings, find_outline_headings


def test_headings_of_a_page_are_in_order_with_their_levels() -> None:
    markup = "<h1>Hand<b>book</b></h1><p>x</p><h3 class='a'>A &amp; B</h3><h2></h2><h2>" + "x" * 5000 + "</h2>"
    assert find_html_headings(markup) == (Heading(1, "Handbook"), Heading(3, "A & B"))


def test_an_unclosed_heading_costs_no_time() -> None:
    assert find_html_headings("<h1>" * 50_000) == ()


def test_headings_of_a_word_document_are_those_of_its_styles(tmp_path: Path) -> None:
    document = docx.Document()
    document.add_heading("Handbook", 1)
    document.add_paragraph("Some text.")
    document.add_heading("Warranty", 2)
    document.save(str(tmp_path / "a.docx"))
    found, _ = text.read_text(tmp_path / "a.docx")
    assert found.headings == (Heading(1, "Handbook"), Heading(2, "Warranty"))


def test_pages_are_joined_with_their_beginnings_also_empty_ones() -> None:
    joined, starts = join_pages(["one", "", "three"])
    assert [joined[start:] for start in starts] == ["one\n\n\n\nthree", "\n\nthree", "three"]


def test_an_outline_gives_headings_at_their_pages() -> None:
    found = find_outline_headings([(0, "Chapter  1", 0), (1, "Part", 1), (0, "Gone", 7)], (0, 100))
    assert found == (Heading(1, "Chapter 1", 0), Heading(2, "Part", 100))


def test_slides_are_pages(tmp_path: Path) -> None:
    path = tmp_path / "a.pptx"
    write_slides(path, ["First slide", "Second slide"])
    found, _ = text.read_text(path)
    assert [found.text[start:].partition("\n")[0] for start in found.page_starts] == ["First slide", "Second slide"]


def write_slides(path: Path, slides: list[str]) -> None:
    """Write a presentation with the parts that a reader needs."""
    base = "http://schemas.openxmlformats.org"
    p, a = f"{base}/presentationml/2006/main", f"{base}/drawingml/2006/main"
    r, rels = f"{base}/officeDocument/2006/relationships", f"{base}/package/2006/relationships"
    with zipfile.ZipFile(path, "w") as archive:
        ids = "".join(f'<p:sldId r:id="r{n}"/>' for n in range(len(slides)))
        archive.writestr("ppt/presentation.xml", f'<p:presentation xmlns:p="{p}" xmlns:r="{r}">{ids}</p:presentation>')
        links = "".join(
            f'<Relationship Id="r{n}" Type="slide" Target="slides/slide{n}.xml"/>' for n in range(len(slides))
        )
        archive.writestr("ppt/_rels/presentation.xml.rels", f'<Relationships xmlns="{rels}">{links}</Relationships>')
        for number, content in enumerate(slides):
            body = f"<p:txBody><a:p><a:r><a:t>{content}</a:t></a:r></a:p></p:txBody>"
            archive.writestr(f"ppt/slides/slide{number}.xml", f'<p:sld xmlns:p="{p}" xmlns:a="{a}">{body}</p:sld>')
