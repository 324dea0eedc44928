"""Scores as tokens: the same notes come back, in any key, and only valid tokens follow."""

import random
from dataclasses import replace

import numpy as np
import pytest

from genloom.codecs.notes import Codec, Config
from genloom.codecs.notes_grammar import NotesConstraint, Rules
from genloom.codecs.notes_scores import encode_cells, list_score_voices
from genloom.codecs.notes_vocabulary import END, FILL, HEADER, METERS, REST, from_token, to_token
from genloom.media.music.controls import Controls, read_words
from genloom.media.music.midi import read_midi, write_midi
from genloom.media.music.score import Key, Meter, Note, Part, Score, Tempo
from genloom.media.music.theory import find_faults

CODEC = Codec(("chorale",))


def compose(seed: int) -> Score:
    """Return a score with chords, rests, ties over bar lines and changes of meter and tempo."""
    rng = random.Random(seed)
    parts = []
    for program in (40, 0, 128):
        notes, tick = [], 0
        while tick < 6 * 72:
            duration = rng.choice((6, 12, 24, 36, 80))
            pitches = rng.sample(range(40, 80), rng.choice((1, 1, 2)))
            notes += [Note(tick, duration, pitch, rng.choice((80, 80, 48))) for pitch in pitches]
            tick += duration + rng.choice((0, 0, 12))
        parts.append(Part(program, tuple(sorted(notes))))
    key = Key(rng.randrange(12), rng.choice(("major", "minor", "dorian")))
    return Score(tuple(parts), (Meter(0, 3, 4), Meter(216, 6, 8)), (Tempo(0, 120.0),), key, "chorale")


@pytest.mark.parametrize("seed", range(5))
def test_notes_come_back(seed: int) -> None:
    score = compose(seed)
    decoded = CODEC.decode(CODEC.encode(score))
    assert [part.notes for part in decoded.parts] == [part.notes for part in score.parts]
    assert (decoded.meters, decoded.tempos, decoded.key, decoded.style) == (
        score.meters,
        score.tempos,
        score.key,
        score.style,
    )
    assert read_midi(write_midi(score))[0] == score


def test_a_piece_has_the_same_notes_in_every_key() -> None:
    melody = Part(73, tuple(Note(24 * i, 24, 60 + step) for i, step in enumerate((0, 4, 7, 12))))
    score = Score((melody,), key=Key(0, "major"))
    ids, moved = CODEC.encode(score), CODEC.encode(score.transpose(5))
    assert [from_token(a) for a, b in zip(ids, moved, strict=True) if a != b] == [("key", 0)]


@pytest.mark.parametrize("seed", range(5))
def test_a_task_of_filling_holds_the_same_score(seed: int) -> None:
    score = compose(seed)
    variants = CODEC.encode_variants(score, np.random.default_rng(seed))
    plain = [CODEC.decode(ids) for ids, loss_mask in variants if loss_mask.all()]
    tasks = [(ids, loss_mask) for ids, loss_mask in variants if not loss_mask.all()]
    assert plain[0] == CODEC.decode(CODEC.encode(score))
    assert len(tasks) == 2
    for ids, loss_mask in tasks:
        assert CODEC.decode(ids) in plain
        assert not loss_mask[: list(ids).index(FILL) + 1].any()
        assert loss_mask.any()


def test_any_tokens_decode() -> None:
    rng = np.random.default_rng(0)
    for length in (0, 1, 50, 500):
        score = CODEC.decode(rng.integers(0, CODEC.space.vocab_size, length))
        assert read_midi(write_midi(score))[0].num_notes == score.num_notes if score.num_notes else True


@pytest.mark.parametrize("seed", range(3))
def test_the_grammar_allows_every_score(seed: int) -> None:
    score = compose(seed)
    ids = np.concatenate([[END], CODEC.encode(score), [END]])
    changes = {bar: tokens for (bar, _), tokens in encode_cells(score, (), score.bars).items()}
    constraint = NotesConstraint([Controls()], CODEC, Rules(in_range=False), changes=changes)
    for length in range(1, len(ids)):
        assert constraint([ids[:length]])[0, ids[length]], from_token(ids[length])


def sample_randomly(constraint: NotesConstraint, seed: int, max_tokens: int = 3000) -> Score:
    """Return the score of uniformly drawn tokens among those that are allowed."""
    rng, ids = np.random.default_rng(seed), np.array([END])
    for _ in range(max_tokens):
        token = rng.choice(np.flatnonzero(constraint([ids])[0]))
        if token == END:
            return CODEC.decode(ids[1:])
        ids = np.append(ids, token)
    raise AssertionError("no end")


@pytest.mark.parametrize("seed", range(4))
def test_even_noise_keeps_what_was_asked_for(seed: int) -> None:
    controls = read_words("a slow waltz in D minor for string quartet, 3 bars")
    rules = Rules(in_key=True, is_crossing_free=True, grid=6)
    score = sample_randomly(NotesConstraint([controls], CODEC, rules), seed)
    assert (score.key, score.meters[0][1:], len(score.bars)) == (Key(2, "minor"), (3, 4), 3)
    assert {part.program for part in score.parts} <= {40, 41, 42}
    pitches = {note.pitch % 12 for part in score.parts for note in part.notes}
    assert pitches <= Key(2, "minor").pitch_classes


@pytest.mark.parametrize("seed", range(3))
def test_a_limit_of_tokens_leaves_no_piece_unfinished(seed: int) -> None:
    controls = Controls(bars=8, programs=(40, 42))
    score = sample_randomly(NotesConstraint([controls], CODEC, max_length=110), seed, 110)
    assert len(score.bars) <= 8
    limited = NotesConstraint([Controls(bars=9, programs=(40, 42))], CODEC, max_length=110)
    assert limited.describe() == ["string duo, 8 bars"]
    assert CODEC.build_constraint(["a sad kazoo", "kazoo", ""], 110).describe() == [
        "minor; left to the model: kazoo",
        "left to the model: kazoo",
        "",
    ]
    free = sample_randomly(NotesConstraint([Controls()], CODEC, max_length=60), seed, 60)
    assert free.num_notes < 60


def test_a_choir_of_four_stays_in_its_voices() -> None:
    controls = read_words("a chorale for choir, 4 bars")
    score = sample_randomly(NotesConstraint([controls], CODEC, Rules(is_crossing_free=True, grid=24)), 1)
    faults = {fault.rule for fault in find_faults(score)}
    assert score.num_notes > 16
    assert not faults & {"out of range", "crossing"}


def test_saved_codec_is_the_same(tmp_path) -> None:
    codec = Codec.fit([compose(0)], Config(512))
    codec.save(tmp_path / "codec")
    assert Codec.load(tmp_path / "codec") == codec
    assert len(HEADER) < codec.space.vocab_size
    assert len(list_score_voices(compose(0))) >= 3


def test_instruments_that_were_asked_for_do_not_rest_long() -> None:
    controls = Controls(bars=9, programs=(40, 42), meter=(2, 4))
    constraint = NotesConstraint([controls], CODEC, Rules(grid=12))
    rng, ids = np.random.default_rng(0), np.array([END])
    while True:  # silence wherever it is allowed
        allowed = np.flatnonzero(constraint([ids])[0])
        is_position = (allowed >= to_token("position")) & (allowed < to_token("position") + 192)
        choices = allowed if is_position.all() else allowed[~is_position]
        token = REST if REST in choices else rng.choice(choices)
        if token == END:
            break
        ids = np.append(ids, token)
    score = CODEC.decode(ids[1:])
    onsets = [{note.onset // 48 for note in part.notes} for part in score.parts]
    assert all({bar, bar + 1, bar + 2} & each for bar in range(7) for each in onsets)
    assert all({bar, bar + 1} & set.union(*onsets) for bar in range(8))


def test_an_ensemble_gets_a_style_of_as_many_voices(tmp_path) -> None:
    parts = [Part(program, (Note(0, 24, 60),)) for program in (40, 40, 41, 42)]
    scores = [Score(tuple(parts[:1]), style="air")] * 3 + [Score(tuple(parts), style="chorale")] * 2
    codec = Codec.fit(scores, Config())
    assert (codec.styles, codec.max_voices) == (("air", "chorale"), (1, 4))
    assert codec.meters == ((METERS.index((4, 4)),),) * 2
    codec.save(tmp_path)
    assert Codec.load(tmp_path) == codec
    prompts = ("a waltz for string quartet", "a waltz for flute", "a waltz", "a chorale for flute")
    controls = [read_words(prompt) for prompt in prompts]
    assert sample_randomly(NotesConstraint([replace(controls[3], bars=1)], codec), 0).meters[0][1:] == (4, 4)
    choices = [list(NotesConstraint([each], codec).list_styles(each)) for each in controls]
    assert choices == [[2], [1, 2], [0, 1, 2], [2]]


def test_a_new_piece_has_no_parallels() -> None:
    controls = read_words("a chorale for choir, 24 bars")
    free, ruled = (
        sample_randomly(NotesConstraint([controls], CODEC, Rules(in_key=True, is_parallel_free=is_ruled, grid=24)), 0)
        for is_ruled in (False, True)
    )
    parallels = {"parallel fifths", "parallel octaves"}
    assert parallels <= {fault.rule for fault in find_faults(free)}
    assert not parallels & {fault.rule for fault in find_faults(ruled)}
