"""What a document does not show is not read: hidden text and slides, errors of cells, lists of chapters."""

import zipfile
from pathlib import Path

import docx
import openpyxl
import pytest
from docx.enum.style import WD_STYLE_TYPE
from docx.oxml import parse_xml

from genloom.media import text
from genloom.media.text import extract

SHOWN, HIDDEN = "The ferry leaves at noon.", "Nobody must know."
OFFICE = "urn:oasis:names:tc:opendocument:xmlns:"
ODF_NAMES = " ".join(f'xmlns:{name}="{OFFICE}{name}:1.0"' for name in ("office", "text", "table", "style"))
WORD_NAME = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
PPTX_NAMES = (
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
)


def write_zip(path: Path, parts: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def write_odf(path: Path, body: str, automatic_styles: str = "", common_styles: str = "") -> Path:
    content = (
        f"<office:document-content {ODF_NAMES}><office:automatic-styles>{automatic_styles}</office:automatic-styles>"
        f"<office:body>{body}</office:body></office:document-content>"
    )
    styles = f"<office:styles {ODF_NAMES}>{common_styles}</office:styles>"
    return write_zip(path, {"content.xml": content, "styles.xml": styles})


def read(path: Path) -> tuple[str, list[str], list[int]]:
    """Return the text of a file, and the codes and counts of its problems."""
    extraction, _ = text.read_text(path)
    problems = extraction.problems
    return extraction.text, [problem.code for problem in problems], [problem.fields["count"] for problem in problems]


HIDING = '<style:style style:name="{}" style:family="{}"><style:text-properties text:display="none"/></style:style>'
CHILD = '<style:style style:name="{}" style:family="{}" style:parent-style-name="{}"/>'


@pytest.mark.parametrize(
    ("body", "automatic", "common"),
    [
        (f'<text:p>{SHOWN}<text:span text:style-name="T1">{HIDDEN}</text:span></text:p>', ("T1", "text", ""), ""),
        (f'<text:p>{SHOWN}</text:p><text:p text:style-name="P1">{HIDDEN}</text:p>', ("P1", "paragraph", ""), ""),
        (f'<text:p>{SHOWN}</text:p><text:h text:style-name="P1">{HIDDEN}</text:h>', ("P1", "paragraph", "Off"), "Off"),
        (f'<text:section text:display="none"><text:p>{HIDDEN}</text:p></text:section><text:p>{SHOWN}</text:p>', (), ""),
        (f'<text:p>{SHOWN}<text:hidden-text text:is-hidden="true">{HIDDEN}</text:hidden-text></text:p>', (), ""),
        (f'<text:p>{SHOWN}</text:p><text:p><text:hidden-paragraph text:is-hidden="true"/>{HIDDEN}</text:p>', (), ""),
    ],
)  # fmt: skip
def test_hidden_words_of_opendocument(body: str, automatic: tuple[str, ...], common: str, tmp_path: Path) -> None:
    style = ""
    if automatic:
        name, family, parent = automatic
        style = CHILD.format(name, family, parent) if parent else HIDING.format(name, family)
    common_style = HIDING.format(common, "paragraph") if common else ""
    path = write_odf(tmp_path / "a.odt", f"<office:text>{body}</office:text>", style, common_style)
    assert read(path) == (SHOWN, ["media.hidden_text"], [1])


def test_words_of_opendocument_that_could_be_hidden_and_are_not(tmp_path: Path) -> None:
    body = (
        f'<text:p text:style-name="P1"><text:hidden-text text:is-hidden="false">{SHOWN}</text:hidden-text></text:p>'
        f'<text:section text:display="condition" text:is-hidden="false"><text:p>{HIDDEN}</text:p></text:section>'
    )
    shown = (
        '<style:style style:name="P1" style:family="paragraph" style:parent-style-name="Off"><style:text-properties '
    )
    path = write_odf(
        tmp_path / "a.odt",
        f"<office:text>{body}</office:text>",
        f'{shown}text:display="true"/></style:style>',
        HIDING.format("Off", "paragraph"),
    )
    assert read(path) == (f"{SHOWN}\n\n{HIDDEN}", [], [])


def test_words_after_hidden_ones_stay(tmp_path: Path) -> None:
    body = f'<text:p>The <text:span text:style-name="T1">{HIDDEN}</text:span>ferry leaves at noon.</text:p>'
    path = write_odf(tmp_path / "a.odt", f"<office:text>{body}</office:text>", HIDING.format("T1", "text"))
    assert read(path)[0] == SHOWN


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (rf"The {{\v {HIDDEN}}}ferry leaves at noon.", 1),
        (rf"The \v {HIDDEN}\v0 ferry leaves at noon.", 1),
        (rf"The \v {HIDDEN}\plain ferry leaves at noon.", 1),
        (r"The {\v caf\'e9 \u8364? \emdash {\b too}}ferry leaves {\v once more}at noon.", 2),
        (rf"The {{\deleted {HIDDEN}}}ferry leaves at noon.", 1),
    ],
)
def test_hidden_and_deleted_words_of_rich_text(body: str, count: int, tmp_path: Path) -> None:
    path = tmp_path / "a.rtf"
    path.write_text(rf"{{\rtf1\ansi{{\fonttbl{{\f0 Times;}}}}{{\stylesheet{{\s1\v Secret;}}}}\f0 {body}\par}}")
    assert read(path) == (SHOWN, ["media.hidden_text"], [count])


def test_footnotes_and_characters_beyond_the_first_plane_of_rich_text(tmp_path: Path) -> None:
    path = tmp_path / "a.rtf"
    path.write_text(
        r"{\rtf1\ansi\uc1 The ferry{\super\chftn}{\footnote\pard{\super\chftn} A small one.} leaves "
        r"\u-10179?\u-8704? at noon.\par {\pict\bin6 {{{}}}}The end.}"
    )
    assert read(path) == ("The ferry leaves 😀 at noon.\nThe end.\n A small one.", [], [])


def test_words_that_a_style_of_word_hides(tmp_path: Path) -> None:
    document = docx.Document()
    for name, kind in (("Secret", WD_STYLE_TYPE.PARAGRAPH), ("Whisper", WD_STYLE_TYPE.CHARACTER)):
        style = document.styles.add_style(name, kind)
        style.font.hidden = True
    child = document.styles.add_style("Deeper", WD_STYLE_TYPE.PARAGRAPH)
    child.base_style = document.styles["Secret"]
    document.add_paragraph(SHOWN).add_run(HIDDEN, style="Whisper")
    document.add_paragraph(HIDDEN, style="Secret")
    paragraph = document.add_paragraph(HIDDEN, style="Deeper")
    paragraph.add_run("The end.").font.hidden = False
    document.save(str(tmp_path / "a.docx"))
    assert read(tmp_path / "a.docx") == (f"{SHOWN}\n\nThe end.", ["media.hidden_text"], [3])


@pytest.mark.parametrize(
    ("symbols", "expected"),
    [
        ([("Symbol", "F061"), ("Symbol", "F0AE"), ("symbol", "62"), ("Symbol", "F07E"), ("Symbol", "F0FE")], "α→β∼⎭"),
        ([("Wingdings", "F0FC"), ("Wingdings", "F04A"), ("Wingdings 2", "F0A3"), ("Wingdings", "F08A")], "✓☺☐⑩"),
        ([("Times New Roman", "20AC"), ("Arial", "2014")], "€—"),
    ],
)
def test_symbols_of_word_are_characters(symbols: list[tuple[str, str]], expected: str, tmp_path: Path) -> None:
    document = docx.Document()
    paragraph = document.add_paragraph("A ")
    for font, place in symbols:
        paragraph._p.append(parse_xml(f'<w:r {WORD_NAME}><w:sym w:font="{font}" w:char="{place}"/></w:r>'))
    document.save(str(tmp_path / "a.docx"))
    assert read(tmp_path / "a.docx") == (f"A {expected}", [], [])


def test_symbols_of_unknown_fonts_are_counted(tmp_path: Path) -> None:
    document = docx.Document()
    paragraph = document.add_paragraph(SHOWN)
    for place in ("F0B5", "no number"):
        paragraph._p.append(parse_xml(f'<w:r {WORD_NAME}><w:sym w:font="House Signs" w:char="{place}"/></w:r>'))
    document.save(str(tmp_path / "a.docx"))
    assert read(tmp_path / "a.docx") == (SHOWN, ["media.unknown_symbols"], [2])


def test_hidden_slides_and_alternatives(tmp_path: Path) -> None:
    def slide(words: str, attributes: str = "", around: str = "{}") -> str:
        body = f"<p:sp><p:txBody><a:p><a:r><a:t>{words}</a:t></a:r></a:p></p:txBody></p:sp>"
        return f"<p:sld {PPTX_NAMES}{attributes}>{around.format(body, body)}</p:sld>"

    alternatives = (
        '<m:AlternateContent xmlns:m="m"><m:Choice>{}</m:Choice><m:Fallback>{}</m:Fallback></m:AlternateContent>'
    )
    links = "".join(f'<Relationship Id="r{n}" Target="slides/slide{n}.xml"/>' for n in (1, 2))
    parts = {
        "ppt/presentation.xml": f'<p:presentation {PPTX_NAMES}><p:sldIdLst><p:sldId r:id="r1"/><p:sldId r:id="r2"/>'
        "</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": f"<Relationships>{links}</Relationships>",
        "ppt/slides/slide1.xml": slide(HIDDEN, ' show="0"'),
        "ppt/slides/slide2.xml": slide(SHOWN, around=alternatives),
    }
    found, codes, counts = read(write_zip(tmp_path / "a.pptx", parts))
    assert (found.strip(), codes, counts) == (SHOWN, ["media.hidden_slides"], [1])


@pytest.mark.parametrize("error", ["#REF!", "#N/A", "#DIV/0!", "#NAME?"])
def test_errors_of_excel_are_no_text(error: str, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["id", "text"])
    book.active.append([1, SHOWN])
    book.active.append([2, error])
    book.active.append([3, f"{error} is an error."])
    book.save(tmp_path / "a.xlsx")
    assert read(tmp_path / "a.xlsx") == (
        f"id,text\n1,{SHOWN}\n2,\n3,{error} is an error.\n",
        ["media.error_cells"],
        [1],
    )


def test_errors_of_opendocument_are_no_text_in_any_language(tmp_path: Path) -> None:
    space = 'xmlns:calcext="urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0"'
    mark = f'{space} calcext:value-type="error"'
    cells = ("<table:table-cell>{}</table:table-cell>", f"<table:table-cell {mark}>{{}}</table:table-cell>")
    rows = "".join(
        f"<table:table-row>{cell.format(f'<text:p>{words}</text:p>')}</table:table-row>"
        for words, cell in ((SHOWN, cells[0]), ("#BEZUG!", cells[1]), ("Err:508", cells[0]), ("The end.", cells[0]))
    )
    table = f'<table:table table:name="a">{rows}</table:table>'
    path = write_odf(tmp_path / "a.ods", f"<office:spreadsheet>{table}</office:spreadsheet>")
    assert read(path) == (f"{SHOWN}\nThe end.\n", ["media.error_cells"], [2])


def test_the_list_of_chapters_is_no_chapter(tmp_path: Path) -> None:
    items = {"nav": ("nav.xhtml", ' properties="nav scripted"'), "one": ("one.xhtml", ""), "two": ("two.xhtml", "")}
    manifest = "".join(f'<item id="{name}" href="{file}"{more}/>' for name, (file, more) in items.items())
    spine = "".join(f'<itemref idref="{name}"/>' for name in items)
    menu = "<nav epub:type='toc'><h1>Contents</h1><ol><li>{}</li></ol></nav>"
    parts = {
        "META-INF/container.xml": '<container><rootfiles><rootfile full-path="in/book.opf"/></rootfiles></container>',
        "in/book.opf": f"<package><manifest>{manifest}</manifest><spine>{spine}</spine></package>",
        "in/nav.xhtml": f"<body><p>For Ada.</p>{menu.format('One')}{menu.format('page 1')}</body>",
        "in/one.xhtml": f"<body><p>{SHOWN}</p></body>",
        "in/two.xhtml": f"<body><nav><p>{HIDDEN}</p></nav></body>",
    }
    assert read(write_zip(tmp_path / "a.epub", parts))[0] == f"For Ada.\n\n{SHOWN}\n\n{HIDDEN}"


@pytest.mark.parametrize(
    "page",
    [
        f"<p>{SHOWN}</p><div style='color:red; display : none'><div>{HIDDEN}</div><p>{HIDDEN}</p></div>",
        f"<p>{SHOWN}<span hidden>{HIDDEN}</span></p>",
        f'<p>{SHOWN}</p><p hidden="">{HIDDEN}',
        f"<ul><li hidden>{HIDDEN}<li>{SHOWN}</ul>",
        f"<ul><li hidden>{HIDDEN}<ul><li>{HIDDEN}</li></ul></li></ul>{SHOWN}",
        f"<ul><li hidden>{HIDDEN}</ul><p>{SHOWN}</p>",
        f"<p hidden>{HIDDEN}<div>{SHOWN}</div>",
        f"<div hidden><p>{HIDDEN}<div><br>{HIDDEN}</div></div>{SHOWN}",
        f'<div class="a hidden b" title="display:none"><input type="hidden" hidden>{SHOWN}</div>',
        f"<p>{SHOWN}</p><section style='visibility:hidden'/><div hidden>{HIDDEN}",
    ],
)
def test_what_a_browser_does_not_show_is_no_text(page: str) -> None:
    assert extract.extract_visible_text(page) == SHOWN


@pytest.mark.parametrize(
    "element",
    [
        f"<div hidden><p>{HIDDEN}</p></div>",
        f'<div hidden="until-found" class="a"><p>{HIDDEN}</p></div>',
        f'<div style="display:none"><p>{HIDDEN}</p></div>',
        f"<p hidden>{HIDDEN}</p>",
        f"<p>{SHOWN} <span style='color: red; DISPLAY: none'>{HIDDEN}</span></p>",
        f"<noscript><p>{HIDDEN}</p></noscript>",
        f"<template><p>{HIDDEN}</p></template>",
    ],
)
def test_an_article_has_no_hidden_paragraphs(element: str) -> None:
    body = "".join(f"<p>{SHOWN} It is the ferry number {n} of this long day.</p>" for n in range(40))
    page = f'<html><body><article class="no hidden text">{body}{element}</article></body></html>'
    for found in (extract.extract_html(page).text, extract.extract_html(f"<p>{SHOWN}</p>{element}").text):
        assert SHOWN in found
        assert HIDDEN not in found
    assert "number 39" in extract.extract_html(page).text


def test_a_page_that_is_hidden_until_it_is_complete_is_read() -> None:
    page = f'<html hidden><body style="visibility:hidden"><p>{SHOWN} 1 &lt; 2</p></body></html>'
    assert extract.extract_html(page).text == f"{SHOWN} 1 < 2"


@pytest.mark.parametrize("before", ["<p>Short.</p>", "".join(f"<p>{SHOWN} It is number {n}.</p>" for n in range(40))])
def test_verbatim_text_keeps_its_lines(before: str) -> None:
    code = "<PRE class=a><code><b>def</b> f(x):\n    <b>if</b> x:\r\n\treturn 1\n\n    return 2\n</code></PRE>"
    found = extract.extract_html(f"<html><body><article>{before}{code}<p>{SHOWN}</p></article></body></html>").text
    assert "def f(x):\n    if x:\n\treturn 1\n\n    return 2\n" in found
    assert found.endswith(SHOWN)
    lines = f"<article>{before}<pre>one<br>two<div>three</div></pre><p>{SHOWN}</p></article>"
    assert "one\ntwo\nthree" in extract.extract_html(lines).text
    assert SHOWN in extract.extract_html(f"<article>{before}<p>{SHOWN}<pre>never closed").text
