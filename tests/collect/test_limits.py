"""Endless and exploding inputs end within their limits, each with one note that says which, beside good files."""

import base64
import gzip
import io
import time
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from genloom import limited_process
from genloom.collect import Report, collect
from genloom.limited_process import LimitedProcess, LimitExceeded, Limits
from genloom.media import image
from genloom.media.opening import open_limited
from genloom.media.text import extract
from genloom.store.workspace import Workspace
from tests.errors import raises_code, raises_reason

STORY = "The keeper of the light went down to the harbour before the morning came. "
SMALL_LIMITS = Limits(seconds=5, seconds_per_mb=0, memory_bytes=1 << 30, output_factor=2, min_output_bytes=1 << 20)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(limited_process, "limits", SMALL_LIMITS)
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


def run(folder: Path, medium: str) -> Report:
    *_, last = collect([folder], Workspace(folder.parent / "w"), "notes", {"medium": medium})
    assert last.report is not None
    return last.report


def write_table(path: Path, texts: list[str], **columns: list[str]) -> None:
    pq.write_table(pa.table({"text": texts, **columns}), path)


@pytest.mark.slow
def test_texts(folder: Path) -> None:
    (folder / "good.txt").write_text(STORY)
    (folder / "endless.html").write_text("<!--" * 200_000)
    (folder / "quotes.csv").write_text(',"a' * 100_000 + "\n1,2\n")
    (folder / "deep.json").write_text("[" * 1_000_000)
    (folder / "zeros.txt.gz").write_bytes(gzip.compress((STORY * 1_000_000).encode()))
    write_table(folder / "repeated.parquet", [f"{STORY * 3000} {number % 2}" for number in range(100)])
    with zipfile.ZipFile(folder / "nested.odt", "w", zipfile.ZIP_DEFLATED) as archive:
        body = "<p>" * 100_000 + "</p>" * 100_000
        archive.writestr("content.xml", f"<d><body><text>{body}</text></body></d>")
    before = time.monotonic()
    report = run(folder, "text")
    assert time.monotonic() - before < 300
    assert "in/good.txt" in {
        item.source
        for split in ("train", "val", "test")
        for item in Workspace(folder.parent / "w").get_dataset("notes").iter_documents(split)
    }
    codes = {note.source: note.code for note in report.notes}
    assert codes == {
        "in/endless.html": "collect.document_without_text",
        "in/quotes.csv": "collect.no_valid_row",
        "in/deep.json": "collect.not_json",
        "in/zeros.txt.gz": "collect.output_limit",
        "in/repeated.parquet": "collect.output_limit",
        "in/nested.odt": "media.extractor_failed",
    }
    assert len(report.notes) == len(codes)


def encode_png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def write_svg(path: Path, body: str) -> None:
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" width="512" height="512">{body}</svg>')


def test_pictures(folder: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    (folder / "good.png").write_bytes(encode_png(pixels))
    photo = base64.b64encode(encode_png(np.zeros((1200, 1200, 3), np.uint8))).decode()
    drawn = f'<defs><image id="i" href="data:image/png;base64,{photo}"/></defs>' + '<use href="#i"/>' * 200
    write_svg(folder / "photos.svg", drawn)
    write_svg(
        folder / "blurs.svg",
        '<filter id="f"><feGaussianBlur stdDeviation="50"/></filter>'
        + '<rect width="512" height="512" filter="url(#f)"/>' * 1300,
    )
    write_svg(folder / "styles.svg", "<style>" + "".join(f".c{n}{{fill:red}}" for n in range(80_000)) + "</style>")
    Image.new("1", (15_000, 15_000)).save(folder / "large.png")
    # A table of captions whose cells repeat a text of megabytes.
    write_table(folder / "captions.parquet", [STORY * 10_000] * 500, file_name=[f"{n}.png" for n in range(500)])
    report = run(folder, "image")
    assert report.documents_kept == 1
    skipped = {note.source: note.code for note in report.notes if note.is_skipped}
    assert skipped == {
        "in/photos.svg": "media.svg_too_complex",
        "in/blurs.svg": "media.svg_too_complex",
        "in/styles.svg": "media.svg_too_complex",
        "in/large.png": "media.image_too_large",
    }
    assert [note.source for note in report.notes if not note.is_skipped] == ["in/captions.parquet"]


def sleep_for_ever(path: Path) -> None:
    while True:
        time.sleep(1)


def allocate_all(path: Path) -> int:
    return len(bytearray(SMALL_LIMITS.memory_bytes))


def end_process(path: Path) -> None:
    import os

    os._exit(139)


def raise_end_of_file(path: Path) -> None:
    raise EOFError("cut")


def test_a_file_that_is_opened_has_the_same_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limited_process, "limits", Limits(1, 0, 1 << 30))
    path = tmp_path / "a.svg"
    write_svg(path, "<rect width='40' height='40'/>")
    assert open_limited(image.open, path).value.shape == (512, 512, 3)
    with raises_reason("media.unreadable", "media.time_limit"):
        open_limited(sleep_for_ever, path)
    for reader in (allocate_all, end_process):
        with raises_reason("media.unreadable", "media.memory_limit"):
            open_limited(reader, path)


def write_nested_pdf(path: Path, depth: int) -> None:
    """Write a page of forms in which each draws the next one ten times: 10^depth words in two kilobytes."""
    stream = "<<{0}/Length {1}>>stream\n{2}\nendstream"
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Resources<</XObject<</F 5 0 R>>>>>>",
        stream.format("", 50, "/F Do " * 10),
    ]
    for number in range(6, 5 + depth):
        form = f"/Type/XObject/Subtype/Form/BBox[0 0 99 99]/Resources<</XObject<</F {number} 0 R>>>>"
        objects.append(stream.format(form, 50, "/F Do " * 10))
    font = "/Resources<</Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>"
    word = "BT /F1 9 Tf (a word of text) Tj ET"
    objects.append(stream.format(f"/Type/XObject/Subtype/Form/BBox[0 0 99 99]{font}", len(word), word))
    text, offsets = "%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        offsets.append(f"{len(text):010d} 00000 n \n")
        text += f"{number} 0 obj\n{each}\nendobj\n"
    end = f"trailer<</Size {len(objects) + 1}/Root 1 0 R>>\nstartxref\n{len(text)}\n%%EOF"
    path.write_text(f"{text}xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{''.join(offsets)}{end}")


def test_a_pdf_of_nested_forms_has_the_same_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_nested_pdf(tmp_path / "flat.pdf", 1)
    assert "a word of text" in open_limited(extract.extract_pdf, tmp_path / "flat.pdf").text
    monkeypatch.setattr(limited_process, "limits", Limits(1, 0, 1 << 30))
    write_nested_pdf(tmp_path / "nested.pdf", 9)
    with raises_code("media.unreadable") as caught:
        open_limited(extract.extract_pdf, tmp_path / "nested.pdf")
    assert caught.value.fields["reason"].code in ("media.time_limit", "media.memory_limit")


def test_a_process_goes_on_after_errors_and_starts_again_after_a_crash(tmp_path: Path) -> None:
    with LimitedProcess() as process:
        with pytest.raises(EOFError):
            process.call(raise_end_of_file, tmp_path)
        with pytest.raises(LimitExceeded):
            process.call(end_process, tmp_path)
        assert next(process.stream(range, 3)) == 0  # and the rest is not asked for
        assert list(process.stream(range, 3)) == [0, 1, 2]


def test_the_time_limit_is_that_of_the_processor() -> None:
    """A busy machine, or Ctrl-Z while a file is read, does not cost the file."""
    with LimitedProcess() as process:
        assert process.call(wait_within_limit) == "read"
        with pytest.raises(LimitExceeded) as caught:
            process.call(compute_beyond_limit)
        assert caught.value.is_time
        with pytest.raises(LimitExceeded) as caught:
            process.call(sleep_beyond_limit)
        assert (caught.value.is_time, caught.value.is_clock) == (True, True)


def test_a_file_is_read_again_whose_time_ran_out_while_the_program_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([0.0, 0.5, 3600.0, 3600.5])  # of running, in each call and after it: the first stood still
    monkeypatch.setattr(limited_process, "read_running_seconds", lambda: next(seconds))
    with LimitedProcess() as process:
        assert process.call(sleep_once, tmp_path / "started") == "read"
    assert next(seconds) == 3600.5


def wait_within_limit() -> str:
    with limited_process.limit_time(2):
        time.sleep(4)
    return "read"


def sleep_beyond_limit() -> None:
    with limited_process.limit_time(0.1):
        time.sleep(60)


def sleep_once(path: Path) -> str:
    is_first = not path.exists()
    path.touch()
    with limited_process.limit_time(0.5):
        time.sleep(60 if is_first else 0)
    return "read"


def compute_beyond_limit() -> None:
    with limited_process.limit_time(0.5):
        while True:
            pass
