"""The medium text opens what people keep text in, and says plainly what it can't."""

import gzip
import random
import time
import warnings
import zipfile
from pathlib import Path

import pytest

from genloom.media import text
from genloom.media.text import encoding, extract
from genloom.types import Item, Medium
from tests.errors import raises_code, raises_reason
from tests.tools import build_pdf

GERMAN = "Der Mond ist aufgegangen, die goldnen Sternlein prangen; für Größe und Übermut müßte man schön tönen.\n"
FRENCH = "Élève à Orléans, où l'été dure très longtemps. Ça va être l’été “déjà” — côté cœur.\n"
POLISH = "Zażółć gęślą jaźń. Wczoraj poszedłem do sklepu, żeby kupić świeży chleb i masło.\n"
TURKISH = "Bugün hava çok güzel, şehirde yürüyüş yapmak istiyorum. Çocuklar bahçede oynuyor.\n"
ARABIC = "ذهب الولد إلى المدرسة في الصباح الباكر وكان الجو جميلا.\n"
THAI = "วันนี้อากาศดีมาก เราไปเดินเล่นที่สวนสาธารณะกับเพื่อนและกินข้าวกลางวันด้วยกัน\n"
CZECH = "Příliš žluťoučký kůň úpěl ďábelské ódy. Dnes je hezký den a slunce svítí.\n"
RUSSIAN = "Широка страна моя родная, много в ней лесов, полей и рек.\n"
ROMANIAN = "A fost odată ca niciodată un împărat care avea trei fete. Când plecă la război, ele intrară în casă.\n"
KOREAN = "옛날 옛적에 깊은 산속에 호랑이 한 마리가 살고 있었습니다. 어느 날 마을로 내려왔습니다.\n"
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。\n"


def pdf_bytes(*pages: str) -> bytes:
    """A PDF of one line of Helvetica for each line of each page, written out by hand."""
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for i, page in enumerate(pages):
        lines = " ".join(f"({line}) Tj T*" for line in page.split("\n"))
        stream = f"BT /F1 12 Tf 14 TL 72 720 Td {lines} ET"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * i} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    return build_pdf(objects)


def write_epub(path: Path, chapters: dict[str, str], rights: str = "", extra: dict[str, bytes] | None = None) -> None:
    items = "".join(f'<item id="c{i}" href="{name}"/>' for i, name in enumerate(chapters))
    spine = "".join(f'<itemref idref="c{i}"/>' for i in range(len(chapters)))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr(
            "META-INF/container.xml",
            '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>',
        )
        book.writestr(
            "OEBPS/book.opf",
            '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
            f"<dc:rights>{rights}</dc:rights></metadata><manifest>{items}</manifest><spine>{spine}</spine></package>",
        )
        for name, markup in chapters.items():
            book.writestr(f"OEBPS/{name}", markup)
        for name, content in (extra or {}).items():
            book.writestr(name, content)


def test_it_is_a_medium() -> None:
    medium: Medium = text
    assert medium.kind == "text"
    assert {".txt", ".md", ".html", ".pdf", ".docx", ".epub", ".py"} <= set(medium.suffixes)


@pytest.mark.parametrize(
    ("content", "used"),
    [
        (GERMAN, "utf-8"),
        (GERMAN, "utf-8-sig"),
        (GERMAN, "cp1252"),
        (FRENCH, "cp1252"),
        ("Café\n", "cp1252"),
        (CZECH, "cp1250"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8_r"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "utf-8"),
        (GERMAN, "utf-16"),
        (GERMAN, "utf-16-le"),
        (GERMAN, "utf-16-be"),
        (GERMAN, "utf-32"),
        ("perché la città è più bella, però è lontana\n", "cp1252"),
        (GERMAN, "cp437"),
        (POLISH, "iso8859_2"),
        (TURKISH, "cp1254"),
        (ARABIC, "cp1256"),
        (RUSSIAN, "cp866"),
        (RUSSIAN, "iso8859_5"),
        (RUSSIAN, "utf-16-le"),
        (RUSSIAN, "utf-32-be"),
        (THAI, "cp874"),
        (JAPANESE, "iso2022_jp"),
        (JAPANESE, "euc_jp"),
        (JAPANESE, "utf-16-le"),
        (JAPANESE, "utf-16-be"),
        (ROMANIAN, "cp1250"),
        (ROMANIAN, "iso8859_2"),
        ("Manhã fria, e o pão já está à venda.\n", "cp1252"),
        (KOREAN, "cp949"),
        (KOREAN, "iso2022_kr"),
    ],
)
def test_every_encoding_gives_the_same_text(tmp_path: Path, content: str, used: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(content.encode(used))
    assert text.open(path).value == content


@pytest.mark.parametrize(
    ("content", "used", "label"),
    [
        (POLISH, "iso8859_2", "iso-8859-2"),
        (TURKISH, "cp1254", "iso-8859-9"),
        (RUSSIAN, "cp866", "ibm866"),
        (GERMAN, "mac_roman", "macintosh"),
        (FRENCH, "utf-8", "iso-2022-jp"),  # a wrong declaration
        (GERMAN, "utf-8", "utf-16"),
    ],
)
def test_a_page_is_read_in_the_encoding_it_declares(tmp_path: Path, content: str, used: str, label: str) -> None:
    path = tmp_path / "a.html"
    path.write_bytes(f"<html><head><meta charset={label}></head><body><p>{content}</p></body></html>".encode(used))
    assert text.open(path).value.split() == content.split()


def test_compressed_text_and_all_kinds_of_newline(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"one\r\ntwo\rthree\nfour"))
    assert text.open(path).value == "one\ntwo\nthree\nfour"


def test_stray_bytes_in_utf8_are_read_as_windows_1252_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(GERMAN.encode() * 2000 + b"caf\xe9 \x93quoted\x94 \x81\n" + GERMAN.encode())
    stream = encoding.open_text(path)
    content = "".join(stream)
    assert "café “quoted” \ufffd\n" in content
    assert content.count("Größe") == 2001
    assert stream.num_repaired == 4


@pytest.mark.parametrize("low", [0, 1, 128])
def test_binary_files_are_not_text(tmp_path: Path, low: int) -> None:
    draw = random.Random(3)
    path = tmp_path / "junk.txt"
    path.write_bytes(bytes(draw.randrange(low, 256) for _ in range(40_000)))
    with raises_reason("media.unreadable", "media.binary", path=path):
        text.open(path)


def test_a_truncated_gz_is_named(tmp_path: Path) -> None:
    path = tmp_path / "half.txt.gz"
    path.write_bytes(gzip.compress(random.Random(1).randbytes(1 << 20).hex().encode())[:-5000])
    with raises_reason("media.unreadable", "media.damaged_gzip"):
        text.open(path)


def test_html_keeps_the_article_and_its_licence() -> None:
    sentences = " ".join(f"Sentence number {i} tells of the sea and of what lies beyond it." for i in range(30))
    markup = (
        "<html><head><title>The Sea</title><style>p {color: red}</style></head><body>"
        "<nav><a href='/'>Home</a><a href='/x'>Shop</a></nav>"
        f"<article><h1>The Sea</h1><p>{sentences}</p><p>Fish &amp; ships.</p></article>"
        '<footer>Imprint <a rel="license" href="https://creativecommons.org/licenses/by/4.0/">CC</a></footer>'
        "<script>var hidden = 1;</script></body></html>"
    )
    found = extract.extract_html(markup)
    assert "Sentence number 29" in found.text
    assert "Fish & ships." in found.text
    assert "hidden" not in found.text
    assert "color" not in found.text
    assert "Shop" not in found.text
    assert found.licence == "https://creativecommons.org/licenses/by/4.0/"


def test_a_tiny_page_keeps_all_visible_text() -> None:
    assert extract.extract_html("<p>One.</p><ul><li>two</li><li>three</li></ul>").text == "One.\n- two\n- three"
    assert extract.extract_visible_text("<pre>a\n  b</pre><p>c   d\n e</p>") == "a\n  b\n\nc d e"


@pytest.mark.parametrize(
    ("markup", "shown"),
    [
        ('<a title="1 > 0" href=x>one</a>', "one"),
        ("<SCRIPT>if (a < b) </SCRIPT>one<style/>two", "onetwo"),
        ("a < b &amp; c &lt; d", "a < b & c < d"),
        ("one<!-- no --><!DOCTYPE x><?php echo ?>two", "onetwo"),
        ('<p title="open>one</p>two', "one\n\ntwo"),
        ("one<!-- never closed", "one"),
        ("one <b", "one <b"),
    ],
)
def test_markup_is_read_as_a_browser_does(markup: str, shown: str) -> None:
    assert extract.extract_visible_text(markup) == shown


@pytest.mark.parametrize(
    "piece",
    ["<!--", "<a ", "<link ", "<meta ", "<a b='", """<a b="<a " """, "<?", "<![CDATA[", "</a ", "<script>", "<", "&"],
)
def test_no_page_takes_long(piece: str) -> None:
    """Of a parser that searches the end of each unclosed tag, 300 kB take minutes."""
    page = f"<p>{GERMAN}</p>{piece * (300_000 // len(piece))}"
    begin = time.process_time()
    assert extract.extract_html(page).text.startswith(GERMAN.strip())
    assert time.process_time() - begin < 3


def test_pdf_pages_without_their_running_heads(tmp_path: Path) -> None:
    path = tmp_path / "book.pdf"
    path.write_bytes(pdf_bytes(*(f"My Great Book\nThis is what page {i} says.\nPage {i}" for i in range(1, 8))))
    content = text.open(path).value
    assert [f"This is what page {i} says." in content for i in range(1, 8)] == [True] * 7
    assert "My Great Book" not in content
    assert "Page 3" not in content


def test_damaged_and_scanned_pdfs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.pdf"
    path.write_bytes(pdf_bytes("text")[:60] + b"\0garbage")
    with raises_reason("media.unreadable", "media.damaged_pdf", path=path):
        text.open(path)
    path.write_bytes(pdf_bytes(""))
    with raises_reason("media.unreadable", "media.scanned_pdf"):
        text.open(path)


def test_docx_paragraphs_and_tables_in_order(tmp_path: Path) -> None:
    import docx

    document = docx.Document()
    document.add_heading("Letter", 1)
    document.add_paragraph("First paragraph.")
    table = document.add_table(rows=1, cols=2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "left", "right"
    document.add_paragraph("Last paragraph.")
    path = tmp_path / "letter.docx"
    document.save(str(path))
    assert text.open(path).value == "Letter\n\nFirst paragraph.\n\nleft | right\n\nLast paragraph."


W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def write_docx(path: Path, body: str, **parts: str) -> None:
    """Write a Word document by hand; `parts` are further files beside the document."""
    relation = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "_rels/.rels",
            '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            f'<Relationship Id="r1" Type="{relation}" Target="word/document.xml"/></Relationships>',
        )
        archive.writestr("word/document.xml", f'<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>')
        for name, content in parts.items():
            archive.writestr(f"word/{name}.xml", f'<w:x xmlns:w="{W}">{content}</w:x>')


def run_of(text: str) -> str:
    return f"<w:r><w:t>{text}</w:t></w:r>"


def paragraph(*content: str) -> str:
    return f"<w:p>{''.join(content)}</w:p>"


def cell(text: str) -> str:
    return f"<w:tc>{paragraph(run_of(text))}</w:tc>"


def table_of(*rows: str) -> str:
    return f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in rows)}</w:tbl>"


DOCX = {
    "insertions and deletions": (
        paragraph(run_of("a"), f"<w:ins>{run_of('b')}</w:ins>", "<w:del><w:r><w:delText>X</w:delText></w:r></w:del>"),
        "ab",
    ),
    "moved text once": (
        paragraph(f"<w:moveFrom>{run_of('m')}</w:moveFrom>", run_of("a"), f"<w:moveTo>{run_of('m')}</w:moveTo>"), "am",
    ),
    "smart tags, fields and links": (
        paragraph(
            f"<w:smartTag>{run_of('a')}</w:smartTag>", f"<w:fldSimple>{run_of('b')}</w:fldSimple>",
            f"<w:hyperlink>{run_of('c')}</w:hyperlink>", "<w:r><w:instrText>PAGE</w:instrText></w:r>",
        ),
        "abc",
    ),
    "content controls": (
        f"<w:sdt><w:sdtPr/><w:sdtContent>{paragraph(run_of('a'))}</w:sdtContent></w:sdt>"
        + paragraph(f"<w:sdt><w:sdtContent>{run_of('b')}</w:sdtContent></w:sdt>"),
        "a\n\nb",
    ),
    "text boxes": (
        paragraph(run_of("a"), f"<w:r><w:txbxContent>{paragraph(run_of('box'))}</w:txbxContent></w:r>"),
        "a\n\nbox",
    ),
    "a choice once": (
        paragraph(
            '<w:r><mc:AlternateContent xmlns:mc="mc"><mc:Choice><w:txbxContent>' + paragraph(run_of("box"))
            + "</w:txbxContent></mc:Choice><mc:Fallback><w:txbxContent>" + paragraph(run_of("box"))
            + "</w:txbxContent></mc:Fallback></mc:AlternateContent></w:r>",
        ),
        "box",
    ),
    "merged cells once": (
        table_of(
            f'<w:tc><w:tcPr><w:gridSpan w:val="1000000000"/></w:tcPr>{paragraph(run_of("HEAD"))}</w:tc>',
            cell("l") + f"<w:sdt><w:sdtContent>{cell('r')}</w:sdtContent></w:sdt>",
        ),
        "HEAD\nl | r",
    ),
    "tables in cells": (
        table_of(f"<w:tc>{paragraph(run_of('out'))}{table_of(cell('in'))}{paragraph()}</w:tc>"),
        "out\nin",
    ),
    "characters": (
        paragraph("<w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t><w:noBreakHyphen/></w:r>"), "a\tb\nc-",
    ),
    "ruby": (
        paragraph(f"<w:r><w:ruby><w:rt>{run_of('x')}</w:rt><w:rubyBase>{run_of('漢字')}</w:rubyBase></w:ruby></w:r>"),
        "漢字",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", DOCX)
def test_docx_text_at_any_depth(what: str, tmp_path: Path) -> None:
    body, expected = DOCX[what]
    write_docx(tmp_path / "a.docx", body)
    assert text.open(tmp_path / "a.docx").value == expected


def test_docx_footnotes(tmp_path: Path) -> None:
    notes = f'<w:footnote w:type="separator">{paragraph()}</w:footnote>'
    notes += f"<w:footnote>{paragraph(run_of('See Ovid.'))}</w:footnote>"
    write_docx(tmp_path / "a.docx", paragraph(run_of("Text.")), footnotes=notes)
    assert text.open(tmp_path / "a.docx").value == "Text.\n\nSee Ovid."


@pytest.mark.parametrize("used", ["utf-8", "iso-8859-1", "utf-16", "utf-16-le", "windows-1251", "shift_jis"])
@pytest.mark.parametrize("is_declared", [True, False])
def test_epub_chapters_in_their_encoding(used: str, is_declared: bool, tmp_path: Path) -> None:
    content = {"windows-1251": RUSSIAN, "shift_jis": JAPANESE}.get(
        used, FRENCH.replace("’", "'").replace("œ", "oe")
    ).replace("“", '"')
    content = content.replace("”", '"').replace("—", "-").strip()
    head = f'<?xml version="1.0" encoding="{used}"?>' if is_declared else ""
    path = tmp_path / "book.epub"
    write_epub(path, {"a.xhtml": "<p>x</p>"})
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    parts["OEBPS/a.xhtml"] = f"{head}<html><body><p>{content}</p></body></html>".encode(used)
    with zipfile.ZipFile(path, "w") as book:
        for name, data in parts.items():
            book.writestr(name, data)
    assert text.open(path).value == content


def test_a_missing_chapter_costs_that_chapter(tmp_path: Path) -> None:
    path = tmp_path / "book.epub"
    write_epub(path, {"a.xhtml": "<p>One.</p>", "b.xhtml": "<p>Two.</p>", "c.xhtml": "<p>Three.</p>"})
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist() if not name.endswith("b.xhtml")}
    parts["OEBPS/book.opf"] = parts["OEBPS/book.opf"].replace(
        b"<itemref idref", b'<itemref idref="nowhere"/><itemref idref', 1
    )
    with zipfile.ZipFile(path, "w") as book:
        for name, data in parts.items():
            book.writestr(name, data)
    extraction, _ = text.read_text(path)
    assert extraction.text == "One.\n\nThree."
    (problem,) = extraction.problems
    assert (problem.code, problem.fields["count"], problem.fields["total"]) == ("media.missing_chapters", 2, 4)


def test_a_chapter_that_the_spine_repeats_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "book.epub"
    write_epub(path, {"a.xhtml": "<p>One.</p>"})
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    item = b'<itemref idref="c0"/>'
    parts["OEBPS/book.opf"] = parts["OEBPS/book.opf"].replace(item, item * 5000)
    with zipfile.ZipFile(path, "w") as book:
        for name, data in parts.items():
            book.writestr(name, data)
    assert text.open(path).value == "One."


@pytest.mark.parametrize("suffix", [".docx", ".epub"])
def test_a_huge_part_is_refused_before_unpacking(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"huge{suffix}"
    if suffix == ".docx":
        write_docx(path, paragraph(run_of(" " * (60 << 20))))
        with raises_reason("media.unreadable", "media.part_too_large"):
            text.open(path)
    else:
        write_epub(path, {"a.xhtml": " " * (60 << 20), "b.xhtml": "<p>Two.</p>"})
        extraction, _ = text.read_text(path)
        assert (extraction.text, [p.code for p in extraction.problems]) == ("Two.", ["media.missing_chapters"])


def test_a_gzip_bomb_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "bomb.txt.gz"
    path.write_bytes(gzip.compress(b"one line of text\n" * (5 << 20), 9))
    with raises_reason("media.unreadable", "media.gzip_too_large"):
        text.open(path)


def test_epub_in_reading_order_with_rights(tmp_path: Path) -> None:
    path = tmp_path / "book.epub"
    write_epub(path, {"two words.xhtml": "<p>Chapter the first.</p>", "b.xhtml": "<p>Then the second.</p>"}, "CC0")
    item = text.open(path)
    assert item.value == "Chapter the first.\n\nThen the second."
    assert item.licence == "CC0"


def test_a_copy_protected_epub_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "locked.epub"
    lock = b'<encryption xmlns:e="u"><e:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"/></encryption>'
    write_epub(path, {"a.xhtml": "<p>x</p>"}, extra={"META-INF/encryption.xml": lock})
    with raises_reason("media.unreadable", "media.copy_protected"):
        text.open(path)


@pytest.mark.parametrize("suffix", [".docx", ".epub"])
def test_zip_bombs_are_refused_before_unpacking(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"bomb{suffix}"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        zeros = bytes(16 << 20)
        for i in range(17):
            archive.writestr(f"word/{i}.xml", zeros)
    with raises_reason("media.unreadable", "media.archive_too_large") as error:
        text.open(path)
    assert error.value.fields["reason"].fields["size"] == 272


@pytest.mark.parametrize("suffix", [".pdf", ".docx", ".epub"])
def test_other_content_under_a_document_suffix_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"junk{suffix}"
    path.write_bytes(random.Random(2).randbytes(5000))
    with warnings.catch_warnings(), raises_code("media.unreadable", path=path):
        text.open(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "no document")
    with raises_code("media.unreadable", path=path):
        text.open(path)


def test_a_failing_extractor_gives_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> extract.ExtractedText:
        raise IndexError("list index out of range")

    monkeypatch.setitem(text.DOCUMENTS, ".pdf", fail)
    (tmp_path / "odd.pdf").write_bytes(pdf_bytes("text"))
    with raises_reason("media.unreadable", "media.extractor_failed", path=tmp_path / "odd.pdf") as error:
        text.open(tmp_path / "odd.pdf")
    assert "IndexError: list index" in str(error.value)


@pytest.mark.parametrize("name", ["a.png", "a.DOCX", "a.xlsx", "a.mp3"])
def test_text_is_not_saved_under_the_suffix_of_another_format(tmp_path: Path, name: str) -> None:
    with raises_code("media.bad_text_suffix"):
        text.save(Item("some words"), tmp_path / name)
    assert not (tmp_path / name).exists()


def test_save_then_open_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    text.save(Item("Größe\n日本語 🌊\n"), path)
    assert text.open(path).value == "Größe\n日本語 🌊\n"
    assert [p.name for p in tmp_path.iterdir()] == ["out.txt"]
    with raises_code("media.unwritable", path=tmp_path / "missing" / "out.txt"):
        text.save(Item("x"), tmp_path / "missing" / "out.txt")


def test_preview_cuts_at_a_word() -> None:
    assert text.preview(Item("short\n")) == "short"
    shown = text.preview(Item("word " * 200), 50)
    assert shown.endswith("word …")
    assert len(shown) <= 52


def test_check_lists_problems() -> None:
    assert text.check(Item("All is well.\nReally.")) == []
    assert text.check(Item("  ")) == ["it is empty"]
    assert "could not be decoded" in text.check(Item("a\ufffdb"))[0]
    assert text.check(Item("a\x00b")) == ["1 control characters"]
    assert text.check(Item("again\n" * 20)) == ["19 of 20 lines are repeats"]
