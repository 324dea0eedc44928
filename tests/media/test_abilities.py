"""Optional abilities: what a medium defines, and the defaults for one that does not."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from genloom import plugins
from genloom.generate.design import read_document
from genloom.media import image, text
from genloom.media.abilities import DEFAULTS, get_ability, guess_suffix
from genloom.types import Display
from tests.errors import raises_code

PLAIN: Any = SimpleNamespace(
    kind="tunes",
    suffixes=(".mp3",),
    encode=lambda notes: bytes(notes),
    preview=lambda item: f"{len(item.value)} notes",
)


def test_a_medium_without_abilities_has_all_defaults() -> None:
    assert get_ability(PLAIN, "show")([60, 62]) == Display("audio/mpeg", b"<>", "2 notes")
    assert get_ability(PLAIN, "count_units")([60, 62]) == 2
    assert get_ability(PLAIN, "describe")([60, 62]) == {"bytes": 2}
    assert get_ability(PLAIN, "cut")([60, 62], 1) == [60, 62]
    assert get_ability(PLAIN, "split")([60, 62], 2) == [[60, 62]]
    sheet = get_ability(PLAIN, "sheet")([[60], [62, 64]], ["one", "two"])
    assert sheet.mime == "text/plain"
    assert all(part in sheet.text for part in ("one", "1 notes", "two", "2 notes"))
    assert get_ability(PLAIN, "feature_extractor") == ""
    assert get_ability(PLAIN, "extract_style_features") is None
    with pytest.raises(KeyError):
        get_ability(PLAIN, "colour")


@pytest.mark.parametrize("medium", plugins.list_part_names("medium"))
def test_every_medium_has_every_ability(medium: str) -> None:
    part = plugins.find_part("medium", medium)
    for name in DEFAULTS:
        get_ability(part, name)
    assert get_ability(part, "sequence") in ("stream", "document")


@pytest.mark.parametrize("medium", ["text", "image", "music", "molecule", "design"])
def test_a_file_that_is_missing_is_said_to_be_once_with_the_cure(medium: str, tmp_path: Path) -> None:
    part = plugins.find_part("medium", medium)
    path = tmp_path / f"none{part.suffixes[0]}"
    with raises_code("media.unreadable_file", path=path) as error:
        part.open(path)
    assert "there is no such file. Check its name." in str(error.value)
    assert str(error.value).count(str(path)) == 1


def test_goals_of_a_file_that_is_missing_name_it_once(tmp_path: Path) -> None:
    with raises_code("media.unreadable_file") as error:
        read_document(tmp_path / "none.toml")
    assert str(error.value).count("none.toml") == 1


def test_text_is_counted_in_bytes_and_split_into_equal_passages() -> None:
    assert get_ability(text, "show")("Zoë") == Display("text/plain", "Zoë".encode(), "Zoë")
    assert get_ability(text, "count_units")("Zoë") == 4
    assert get_ability(text, "cut")("Zoë saw", 3) == "Zoë"
    passages = get_ability(text, "split")("a boat on the sea", 4)
    assert "".join(passages) == "a boat on the sea"
    assert sorted(map(len, passages)) == [4, 4, 4, 5]
    assert get_ability(text, "describe")("a boat on the sea") == {"words": 5}


def test_images_are_shown_and_put_on_a_sheet() -> None:
    pixels = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3)
    shown = get_ability(image, "show")(pixels)
    assert shown.mime == "image/png"
    assert np.array_equal(image.decode(shown.data), pixels)
    assert "▀" in shown.text
    assert get_ability(image, "count_units")(pixels) == 48
    sheet = get_ability(image, "sheet")([pixels, pixels], ["", ""])
    assert image.decode(sheet.data).shape[1] > 2 * 6
    assert guess_suffix(sheet.mime) == ".png"
