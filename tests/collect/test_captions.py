"""Captions are found for the files of any medium: columns and generic words are parameters."""

import json
import unicodedata
from pathlib import Path

from genloom.collect import captions


def test_a_table_names_files_in_a_column_of_the_medium(tmp_path: Path) -> None:
    sound = tmp_path / "bird.wav"
    sound.touch()
    (tmp_path / "list.jsonl").write_text(json.dumps({"sound": "bird.wav", "text": "a blackbird", "license": "CC0-1.0"}))
    captions.clear_caches()
    entry = captions.CaptionEntry("a blackbird", "CC0-1.0")
    assert captions.find_caption(sound, tmp_path, ("sound",)) == (entry, "a table beside it")
    assert captions.find_caption(sound, tmp_path, captions.FILE_COLUMNS) == (captions.CaptionEntry(""), "")


def test_generic_words_of_the_medium_are_not_a_caption() -> None:
    assert captions.derive_caption("track_07", ()) == "track"
    assert captions.derive_caption("track_07", {"track"}) == ""


def test_names_are_compared_without_case_and_in_any_form_of_accents(tmp_path: Path) -> None:
    captions.clear_caches()
    rows = ["file_name,text", "p0.png,a cat on a mat", "café au lait.png,a cup of coffee", "photo.png,a photo"]
    rows += ["t\\win.png,a window", "./sub/x.png,a cross"]
    (tmp_path / "metadata.csv").write_text("\n".join(rows), encoding="utf-8")
    names = ["p0.png", unicodedata.normalize("NFD", "café au lait.png"), "Photo.PNG", "t/win.png", "sub/x.png"]
    found = [captions.find_caption(tmp_path / name, tmp_path, captions.FILE_COLUMNS)[0].caption for name in names]
    assert found == ["a cat on a mat", "a cup of coffee", "a photo", "a window", "a cross"]


def test_sidecars_of_any_spelling(tmp_path: Path) -> None:
    captions.clear_caches()
    (tmp_path / "É.TXT").write_text("an accent")
    image_path = tmp_path / unicodedata.normalize("NFD", "É.png")
    image_path.touch()
    assert captions.find_caption(image_path, tmp_path, ("file",))[0].caption == "an accent"


def test_links_out_of_the_folder_describe_nothing(tmp_path: Path) -> None:
    captions.clear_caches()
    folder = tmp_path / "pictures"
    folder.mkdir()
    (tmp_path / "secret").write_text("my password")
    (tmp_path / "table").write_text("file,text\na.png,my password\n")
    (folder / "a.txt").symlink_to(tmp_path / "secret")
    (folder / "table.csv").symlink_to(tmp_path / "table")
    assert captions.find_caption(folder / "a.png", folder, ("file",)) == (captions.CaptionEntry(""), "")


def test_unused_rows_are_counted(tmp_path: Path) -> None:
    captions.clear_caches()
    table = tmp_path / "metadata.csv"
    table.write_text("file_name,text\np0.png,a cat\np1.png,a cat, sitting\nmissing.png,nothing\nP2.PNG,a dog\n")
    read = captions.read_table(table, captions.FILE_COLUMNS)
    paths = [tmp_path / "p0.png", tmp_path / "p1.png", tmp_path / "p2.png"]
    error = captions.describe_unused(read, tmp_path, {tmp_path: paths})
    assert error is not None
    assert (error.code, error.fields["count"], error.fields["total"]) == ("collect.unused_rows", 2, 4)
    assert "row 3" in str(error)
    assert "missing.png" in str(error)
    assert captions.describe_unused(captions.CaptionTable(), tmp_path, {}) is None


def test_rows_that_repeat_a_name_or_have_no_caption_are_counted(tmp_path: Path) -> None:
    captions.clear_caches()
    table = tmp_path / "captions.csv"
    table.write_text("file_name, comment\na.png, a cat\na.png, a grey cat\nb.png,\n")
    read = captions.read_table(table, captions.FILE_COLUMNS)
    assert (read.entries["a.png"].caption, list(read.broken_rows)) == ("a cat", [3, 4])
    error = captions.describe_unused(read, tmp_path, {tmp_path: [tmp_path / "a.png", tmp_path / "b.png"]})
    assert error is not None
    assert error.fields["count"] == 2
