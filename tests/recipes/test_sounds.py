"""Sounds of the recipe: they follow from their numbers, and their captions are true of them."""

import pytest

from genloom.media import audio
from genloom.media.audio.measures import measure_sound
from genloom.media.audio.words import read_wishes
from genloom.types import Item
from recipes.sounds.kinds import KINDS
from recipes.sounds.make import build_rows
from recipes.sounds.scenes import build_scene


def test_sounds_follow_from_their_number() -> None:
    assert build_scene(3, 5).sound == build_scene(3, 5).sound
    assert len({build_scene(3, number).sound for number in range(8)}) == 8
    assert build_scene(4, 5).sound != build_scene(3, 5).sound


@pytest.mark.parametrize("kind", KINDS)
def test_captions_are_true(kind: str) -> None:
    scenes = [build_scene(1, number, kind) for number in range(12)]
    for scene in scenes:
        assert audio.check(Item(scene.sound)) == []
        assert 0.05 < scene.sound.seconds <= 2.048
    wishes = [
        (scene.caption, wish.word, wish.is_kept(measure_sound(scene.sound)))
        for scene in scenes
        for wish in read_wishes(scene.caption)
    ]
    kept = [is_kept for _, _, is_kept in wishes]
    assert sum(kept) >= 0.95 * len(kept), [each for each in wishes if not each[2]]


def test_rows_have_what_a_collection_reads() -> None:
    row = next(build_rows(0, 7, 1))
    assert audio.decode(row["audio"]) == build_scene(0, 7).sound  # ty: ignore[invalid-argument-type]
    assert (row["text"], row["licence"], row["source"]) == (build_scene(0, 7).caption, "CC0-1.0", "sounds:0:7")
