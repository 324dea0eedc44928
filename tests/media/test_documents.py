"""Every format of documents is read, and a damaged file of it is an error with a reason."""

import json
import zipfile
from collections.abc import Callable
from contextlib import suppress
from email.message import EmailMessage
from pathlib import Path

import docx
import openpyxl
import pytest

from genloom.collect import collect
from genloom.errors import GenloomError
from genloom.media import text
from genloom.media.text import bounded, extract, marked_text
from genloom.store.workspace import Workspace
from tests.errors import raises_code

FIRST, SECOND = "The ferry leaves at noon.", "Nobody was on board — except the cat."
OFFICE = "urn:oasis:names:tc:opendocument:xmlns:"
ODF_NAMES = " ".join(f'xmlns:{name}="{OFFICE}{name}:1.0"' for name in ("office", "text", "table"))
PPTX_NAMES = (
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
)


def write_zip(path: Path, parts: dict[str, str]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def write_odf(path: Path, body: str, manifest: str = "<manifest/>") -> None:
    content = f"<office:document-content {ODF_NAMES}><office:body>{body}</office:body></office:document-content>"
    write_zip(path, {"content.xml": content, "META-INF/manifest.xml": manifest})


def write_odt(path: Path) -> None:
    write_odf(
        path,
        "<office:text><text:tracked-changes><text:p>deleted</text:p></text:tracked-changes>"
        f"<text:h>{FIRST}</text:h><text:p>Nobody<text:s text:c='1'/>was <text:span>on\n   board</text:span> — "
        "except<office:annotation><text:p>a comment</text:p></office:annotation> the cat."
        "<text:note><text:note-body><text:p>A note.</text:p></text:note-body></text:note></text:p>"
        "<table:table><table:table-row><table:table-cell><text:p>a</text:p></table:table-cell><table:table-cell "
        'table:number-columns-repeated="99999999"><text:p>b</text:p></table:table-cell></table:table-row></table:table>'
        "</office:text>",
    )


def write_pptx(path: Path) -> None:
    def slide(body: str, name: str = "sld") -> str:
        return f"<p:{name} {PPTX_NAMES}><p:sp><p:txBody>{body}</p:txBody></p:sp></p:{name}>"

    def relations(*pairs: tuple[str, str]) -> str:
        inner = "".join(f'<Relationship Id="{name}" Target="{target}"/>' for name, target in pairs)
        return f"<Relationships>{inner}</Relationships>"

    write_zip(
        path,
        {
            "ppt/presentation.xml": f'<p:presentation {PPTX_NAMES}><p:sldIdLst><p:sldId r:id="r2"/><p:sldId r:id="r1"/>'
            "</p:sldIdLst></p:presentation>",
            "ppt/_rels/presentation.xml.rels": relations(("r1", "slides/slide1.xml"), ("r2", "slides/slide2.xml")),
            "ppt/slides/slide1.xml": slide(f"<a:p><a:r><a:t>{SECOND}</a:t></a:r></a:p>"),
            "ppt/slides/slide2.xml": slide(
                "<a:p><a:r><a:t>The ferry </a:t></a:r><a:r><a:t>leaves at noon.</a:t></a:r></a:p>"
                '<a:p><a:fld type="slidenum"><a:t>2</a:t></a:fld></a:p>'
            ),
            "ppt/slides/_rels/slide2.xml.rels": relations(("n", "../notesSlides/notesSlide1.xml")),
            "ppt/notesSlides/notesSlide1.xml": slide("<a:p><a:r><a:t>A note.</a:t></a:r></a:p>", "notes"),
        },
    )


def write_xlsx(path: Path) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["question", "answer"])
    book.active.append([FIRST, SECOND])
    book.save(path)


def write_ods(path: Path) -> None:
    rows = "".join(
        "<table:table-row>"
        + "".join(f"<table:table-cell><text:p>{cell}</text:p></table:table-cell>" for cell in row)
        + '<table:table-cell table:number-columns-repeated="16000"/></table:table-row>'
        for row in (("question", "answer"), (FIRST, SECOND))
    )
    write_odf(path, f'<office:spreadsheet><table:table table:name="One">{rows}</table:table></office:spreadsheet>')


def write_email(path: Path) -> None:
    message = EmailMessage()
    message["Subject"], message["From"] = FIRST, "someone@example.org"
    message.set_content(SECOND)
    message.add_alternative(f"<p>{SECOND}</p>", subtype="html")
    message.add_attachment(b"data", maintype="application", subtype="octet-stream", filename="x.bin")
    path.write_bytes(bytes(message))


def write_mailbox(path: Path) -> None:
    heads = "From: someone@example.org\r\nSubject: {}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    mails = [(FIRST, "Tea.\r\n\r\nFrom here it is far.\r\n>From there too."), (SECOND, "Bread.")]
    start = "From someone@example.org Thu Jan  4 09:30:00 2024\r\n"
    path.write_text("".join(f"{start}{heads.format(subject)}{text}\r\n\r\n" for subject, text in mails), newline="")


def write_notebook(path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": [FIRST]},
        {"cell_type": "code", "source": "print(1)", "outputs": [{"text": "an output"}]},
        {"cell_type": "markdown", "source": SECOND},
    ]
    path.write_text(json.dumps({"cells": cells, "nbformat": 4}))


def write_text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content)


PAIR = f"question,answer\n{FIRST},{SECOND}\n"
FORMATS = {
    "a.rtf": (
        write_text(
            r"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Times;}}{\info{\author A. Person}}\f0 The "
            r"\b ferry\b0  leaves at noon.\par Nobody was on board \'97 except the cat.}"
        ),
        f"{FIRST}\n{SECOND}",
    ),
    "a.odt": (write_odt, f"{FIRST}\n\n{SECOND}\n\nA note.\n\na | b"),
    "a.pptx": (write_pptx, f"{FIRST}\n\nA note.\n\n{SECOND}"),
    "a.xlsx": (write_xlsx, PAIR),
    "a.ods": (write_ods, PAIR),
    "a.eml": (write_email, f"{FIRST}\n\n{SECOND}"),
    "a.mbox": (write_mailbox, f"{FIRST}\n\nTea.\n\nFrom here it is far.\nFrom there too.\n\n{SECOND}\n\nBread."),
    "a.ipynb": (write_notebook, f"{FIRST}\n\n```python\nprint(1)\n```\n\n{SECOND}"),
    "a.srt": (
        write_text(
            f"1\n00:00:01,000 --> 00:00:02,500\n<i>{FIRST}</i>\n\n2\n00:00:02,500 --> 00:00:04,000\n"
            f"{{\\an8}}{FIRST}\n{SECOND}\n"
        ),
        f"{FIRST}\n{SECOND}",
    ),
    "a.vtt": (
        write_text(
            f"WEBVTT\n\nNOTE a comment\n\nSTYLE\n::cue {{ color: red }}\n\n00:01.000 --> 00:02.000 align:start\n"
            f"<v Anna>{FIRST}</v>\n\n00:02.000 --> 00:03.000\n<00:02.100>{SECOND}\n"
        ),
        f"{FIRST}\n{SECOND}",
    ),
}


@pytest.mark.parametrize(
    ("markup", "spoken"),
    [
        ("1\n00:00:01,000 --> 00:00:02,000\nOne.\n2\n00:00:02,000 --> 00:00:03,000\nTwo.\n", "One.\nTwo."),
        ("00:01,0 --> 00:02,0\nOne.\n\nTwo.\n\n7\n00:02,0 --> 00:03,0\nIn 1984\n1984\n", "One.\nTwo.\nIn 1984\n1984"),
        (
            "WEBVTT\n\ncue 1\n00:01.0 --> 00:02.0\nA &amp; B\n\nNOTE &lt;\n\n00:02.0 --> 00:03.0\n&lt;b&gt;",
            "A & B\n<b>",
        ),
        ("0:00:01.000,0:00:02.000\nOne.\n\n0:00:02.000,0:00:03.500\nTwo.\n", "One.\nTwo."),
    ],
)
def test_only_what_is_spoken_is_read_from_subtitles(markup: str, spoken: str) -> None:
    assert marked_text.extract_subtitles(markup).text == spoken


@pytest.mark.parametrize("charset", ["iso-8859-1", "us-ascii", "windows-1252"])
@pytest.mark.parametrize("kind", ["plain", "html"])
def test_a_character_that_the_label_of_an_email_lacks_is_read_as_windows_1252(
    charset: str, kind: str, tmp_path: Path
) -> None:
    head = f"From: j@example.org\r\nSubject: =?{charset}?q?5_=80?=\r\nContent-Type: text/{kind}; charset={charset}\r\n"
    body = "Content-Transfer-Encoding: quoted-printable\r\n\r\n<p>=84Hans=93 =96 5 =80</p>\r\n"
    (tmp_path / "a.eml").write_text(head + (body if kind == "html" else body.replace("<p>", "").replace("</p>", "")))
    subject, _, content = text.open(tmp_path / "a.eml").value.partition("\n\n")
    assert content == "„Hans“ – 5 €"
    assert subject == ("5 €" if charset != "us-ascii" else subject)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_read(name: str, tmp_path: Path) -> None:
    write, expected = FORMATS[name]
    write(tmp_path / name)
    assert text.open(tmp_path / name).value.strip() == expected.strip()


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_an_error_with_a_reason(name: str, tmp_path: Path) -> None:
    write, _ = FORMATS[name]
    write(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    for number, damaged in enumerate((data[: len(data) // 2], b"no such format", data[:40] + bytes(40) + data[80:])):
        path = tmp_path / f"{number}-{name}"
        path.write_bytes(damaged)
        if number == 1:  # of another format
            with raises_code("media.unreadable"):
                text.open(path)
        else:
            with suppress(GenloomError):  # any other exception fails the test; of a text that was cut, the rest is read
                text.open(path)


def test_all_formats_are_collected_and_the_damaged_ones_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    for name, (write, _) in FORMATS.items():
        write(folder / name)
        (folder / f"bad-{name}").write_bytes(b"this is not what its name says")
    *_, last = collect([folder], Workspace(tmp_path / "w"), "notes", {"near_duplicates": 0})
    report = last.report
    assert report is not None
    skipped = {note.source for note in report.notes if note.is_skipped}
    assert skipped == {f"notes/bad-{name}" for name in FORMATS}
    read = {note.code for note in report.notes if not note.is_skipped}
    assert read == {"media.unread_attachments", "collect.read_as_pairs", "collect.twins_not_compared"}
    assert report.counters["conversations"]["documents"] == 1  # the same in both tables
    assert report.documents_kept + report.drop_counts["exact copy"] == len(FORMATS)


def test_a_workbook_of_several_sheets_is_several_tables(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for title, header in (("Letters", "text"), ("Numbers", "n")):
        sheet = book.create_sheet(title)
        sheet.append(["id", header])
        for number in range(3):
            sheet.append([number, f"{FIRST} {number}" if title == "Letters" else number])
    book.save(tmp_path / "book.xlsx")
    workspace = Workspace(tmp_path / "w")
    *_, last = collect([tmp_path / "book.xlsx"], workspace, "book", {"val": 0, "test": 0, "near_duplicates": 0})
    items = list(workspace.get_dataset("book").iter_documents("train"))
    assert [item.source for item in items] == [f"book.xlsx/Letters:{number}" for number in (2, 3, 4)]
    assert last.report is not None
    assert [(note.source, note.code) for note in last.report.notes if note.source != "the sources"] == [
        ("book.xlsx/Letters", "collect.column_taken"),
        ("book.xlsx/Numbers", "collect.no_text_column"),
    ]


@pytest.mark.parametrize("suffix", [".docx", ".xlsx", ".pptx", ".odt"])
def test_a_password_is_named(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".odt":
        write_odf(path, "", "<manifest><encryption-data/></manifest>")
    else:
        path.write_bytes(bounded.OLE_MAGIC + bytes(600))
    with raises_code("media.locked_document"):
        text.read_text(path)


@pytest.mark.parametrize("suffix", [".xlsx", ".odt", ".ods", ".pptx"])
def test_an_archive_that_unpacks_to_too_much_is_refused(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "MAX_UNPACKED_BYTES", 1 << 20)
    path = tmp_path / f"a{suffix}"
    write_zip(path, {"content.xml": " " * (2 << 20)})
    with raises_code("media.archive_too_large"):
        text.read_text(path)


@pytest.mark.parametrize("state", ["hidden", "veryHidden"])
def test_hidden_sheets_are_told_and_not_read(state: str, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["text", SECOND])
    hidden = book.create_sheet("Salaries")
    hidden.append(["text", FIRST])
    hidden.sheet_state = state
    book.save(tmp_path / "a.xlsx")
    extraction, _ = text.read_text(tmp_path / "a.xlsx")
    assert FIRST not in extraction.text
    assert [problem.code for problem in extraction.problems] == ["media.hidden_sheets"]


def test_hidden_sheets_of_opendocument_are_told_and_not_read(tmp_path: Path) -> None:
    tables = "".join(
        f'<table:table table:name="{cell[:3]}" table:style-name="{style}"><table:table-row><table:table-cell>'
        f"<text:p>{cell}</text:p></table:table-cell></table:table-row></table:table>"
        for cell, style in ((FIRST, "off"), (SECOND, "on"))
    )
    styles = (
        '<office:automatic-styles xmlns:style="s"><style:style style:name="off">'
        '<style:table-properties table:display="false"/></style:style></office:automatic-styles>'
    )
    write_odf(tmp_path / "a.ods", f"{styles}<office:spreadsheet>{tables}</office:spreadsheet>")
    extraction, _ = text.read_text(tmp_path / "a.ods")
    assert FIRST not in extraction.text
    assert SECOND in extraction.text
    assert [problem.code for problem in extraction.problems] == ["media.hidden_sheets"]


def test_formulas_whose_results_were_not_saved_are_told(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["question", "answer"])
    for number in range(3):
        book.active.append([f"What is {number} plus one?", f"={number}+1"])
    book.active.append(["What is left?", "Nothing at all."])
    book.save(tmp_path / "a.xlsx")
    *_, last = collect([tmp_path / "a.xlsx"], Workspace(tmp_path / "w"), "a", {"val": 0, "test": 0})
    assert last.report is not None
    assert "media.uncomputed_cells" in {note.code for note in last.report.notes}
    (note,) = [note for note in last.report.notes if note.code == "media.uncomputed_cells"]
    assert " 3 " in f" {note.reason} "


def test_hidden_words_of_a_word_document_are_told_and_not_read(tmp_path: Path) -> None:
    document = docx.Document()
    paragraph = document.add_paragraph(FIRST)
    paragraph.add_run(SECOND).font.hidden = True
    shown = paragraph.add_run(" The end.")
    shown.font.hidden = False
    document.save(str(tmp_path / "a.docx"))
    extraction, _ = text.read_text(tmp_path / "a.docx")
    assert extraction.text == f"{FIRST} The end."
    assert [problem.code for problem in extraction.problems] == ["media.hidden_text"]


def test_declarations_before_a_page_are_no_text() -> None:
    page = '<!DOCTYPE html [<!ENTITY a "b > c"> <!ENTITY d "e">]><p>The text.</p>'
    assert extract.extract_visible_text(page) == "The text."
    assert extract.extract_visible_text("<!DOCTYPE html><p>a [b] > c</p>") == "a [b] > c"
    assert extract.extract_visible_text("<!DOCTYPE html [<p>never closed</p>") == "never closed"
