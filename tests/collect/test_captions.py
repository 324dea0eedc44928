"""Captions are found for the files of any medium: columns and generic words are parameters."""

import json
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
