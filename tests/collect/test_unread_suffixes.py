"""Files that no medium reads are named with their cure, and no file is taken for text by its unknown name."""

import shutil
import zipfile
from pathlib import Path

import pytest

from genloom.collect import music
from genloom.collect.image import files as image_files
from genloom.collect.sources import SourceFile
from genloom.collect.text import files as text_files
from genloom.collect.unread_suffixes import CONVERSION_HINTS
from genloom.media import image, text
from genloom.media import music as music_medium

SCORE = '<?xml version="1.0"?><!-- {comment} --><score-timewise version="3.1"></score-timewise>'


def make_file(path: Path, content: bytes = b"content") -> SourceFile:
    path.write_bytes(content)
    return SourceFile(path, path.name, len(content), path.parent)


def test_nothing_that_is_read_has_a_cure() -> None:
    assert not CONVERSION_HINTS.keys() & {*text.suffixes, *image.suffixes, *music_medium.suffixes, *text_files.FORMATS}


@pytest.mark.parametrize("suffix", sorted(CONVERSION_HINTS))
def test_every_cure_is_told_whatever_the_medium(suffix: str, tmp_path: Path) -> None:
    file = make_file(tmp_path / f"a{suffix}")
    for select in (text_files.select, image_files.select):
        selected, notes = select([file])
        assert not selected
        assert [note.code for note in notes] == ["collect.unsupported_suffix"]
        assert CONVERSION_HINTS[suffix] in notes[0].reason


@pytest.mark.parametrize("suffix", [".kar", ".rmi"])
def test_other_names_of_midi_are_scores(suffix: str, tmp_path: Path) -> None:
    assert music.is_score(make_file(tmp_path / f"a{suffix}", b"MThd"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_score_in_xml_is_known_by_its_root(encoding: str, tmp_path: Path) -> None:
    assert music.is_score(make_file(tmp_path / "a.xml", SCORE.format(comment="made by a program").encode(encoding)))
    assert not music.is_score(make_file(tmp_path / "b.xml", "<note>to you</note>".encode(encoding)))


@pytest.mark.parametrize("suffix", [".docm", ".dotx", ".dotm"])
def test_word_files_with_macros_and_templates_are_read(suffix: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.docx", "w") as archive:
        archive.writestr("_rels/.rels", "<Relationships/>")
        archive.writestr("word/document.xml", '<w:document xmlns:w="w"><w:p><w:t>A letter.</w:t></w:p></w:document>')
    shutil.copy(tmp_path / "a.docx", tmp_path / f"a{suffix}")
    assert text.open(tmp_path / f"a{suffix}").value == "A letter."
