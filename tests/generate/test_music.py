"""Editing of music: a source is kept outside of what is generated, prompts and options are obeyed, outputs replay."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import genloom as gl
from genloom.codecs.notes_scores import measure_density
from genloom.codecs.notes_vocabulary import to_token
from genloom.generate import engine, sampling_params
from genloom.generate.engine import Request, run_request
from genloom.generate.music import EditOptions, MusicEdit, Task, build_edit
from genloom.generate.output_records import replay_output, store_outputs
from genloom.learn.eval_prompts import build_eval_prompts, generate_answers
from genloom.media import music
from genloom.media.music.controls import Controls
from genloom.media.music.score import Key, Meter, Note, Part, Score, Tempo
from genloom.model import Model, load_model
from genloom.store.workspace import Workspace
from genloom.types import Item
from tests.errors import raises_code

BAR = 96


def compose(num_bars: int, num_parts: int = 2, shift: int = 0) -> Score:
    """Return a piece of quarter notes, with one that is held over each second bar line."""
    parts = []
    for number in range(num_parts):
        notes = [
            Note(
                BAR * bar + 24 * beat,
                48 if beat == 3 and bar % 2 else 24,
                72 - 7 * number + (bar + beat + shift) % 5,
                77,
            )
            for bar in range(num_bars)
            for beat in range(4)
            if not (beat == 0 and bar and not bar % 2)
        ]
        notes[-1] = notes[-1]._replace(duration=24)
        parts.append(Part(40 + number, tuple(notes), f"Part {number + 1}"))
    return Score(tuple(parts), (Meter(0, 4, 4),), (Tempo(0, 96.0),), Key(2, "minor"), title="Motif")


@pytest.fixture(scope="module")
def workspace(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("music"))
    worlds.create_tunes(workspace)
    return workspace


@pytest.fixture(scope="module")
def model(workspace: Workspace) -> Model:
    return load_model(workspace, "tunes")


def generate(model: Model, edit: MusicEdit, count: int = 1, **params: Any) -> list[Score]:
    request = replace(engine.build_request([""], count, 1, (), params), edit=edit)
    return list(run_request(model, request).values)


def edit_source(source: Score, **task: Any) -> MusicEdit:
    return MusicEdit(Controls(), source=source, task=Task(**task))


def list_notes(score: Score, begin: int = 0, end: int = 1 << 30) -> list[list[Note]]:
    return [[note for note in part.notes if begin <= note.onset < end] for part in score.parts]


def test_a_continuation_keeps_the_whole_source(model: Model) -> None:
    for num_bars in (4, 40):  # the latter is longer than the model reads
        source = compose(num_bars)
        (score,) = generate(model, edit_source(source, added_bars=3))
        assert len(score.bars) <= num_bars + 3
        assert list_notes(score, end=BAR * (num_bars - 1)) == list_notes(source, end=BAR * (num_bars - 1))
        assert (score.title, [part.name for part in score.parts], score.tempos) == (
            source.title,
            [part.name for part in source.parts],
            source.tempos,
        )


def test_filling_rewrites_its_bars_alone(model: Model) -> None:
    for num_bars, first in ((6, 0), (6, 2), (6, 4), (60, 30), (60, 58)):
        source = compose(num_bars)
        (score,) = generate(model, edit_source(source, fill=(first, first + 2)))
        begin, end = BAR * first, BAR * (first + 2)
        assert list_notes(score, end=begin - 24) == list_notes(source, end=begin - 24)
        assert list_notes(score, end + 24) == list_notes(source, end + 24)
        assert list_notes(score, begin, end) != list_notes(source, begin, end)


def test_a_meter_that_changes_stays(model: Model) -> None:
    source = replace(compose(6), meters=(Meter(0, 4, 4), Meter(2 * BAR, 3, 4)))
    for first in (1, 2, 3):
        (score,) = generate(model, edit_source(source, fill=(first, first + 1)))
        assert score.meters == source.meters
        assert list_notes(score, 2 * BAR + 3 * 72) == list_notes(source, 2 * BAR + 3 * 72)


def test_voices_are_added_and_varied(model: Model) -> None:
    source = compose(4)
    (score,) = generate(model, edit_source(source, programs=(42, 43)))
    assert list_notes(score)[:2] == list_notes(source)
    assert [part.program for part in score.parts[2:]] == [42, 43][: len(score.parts) - 2]
    varied = generate(model, edit_source(source, vary=0.25), count=4)
    assert len({str(list_notes(score)) for score in varied}) == 4, "each output varies other cells"
    assert all(list_notes(score) != list_notes(source) for score in varied)
    (other,) = generate(model, edit_source(source, vary=1.0))
    assert len(other.bars) == 4


@pytest.mark.parametrize("task", [{"vary": 0.3}, {"fill": (1, 2)}, {"added_bars": 2}, {"programs": (42,)}])
def test_an_edit_replays(workspace: Workspace, model: Model, task: dict[str, Any]) -> None:
    request = replace(engine.build_request([""], 2, 5, (), {}), edit=edit_source(compose(4), **task))
    draft = run_request(model, request)
    for output, value in zip(store_outputs(workspace, model, request, draft), draft.values, strict=True):
        assert music.encode(replay_output(workspace, output)[1]) == music.encode(value)


def test_rated_tunes_of_options_are_asked_again_and_those_of_a_source_are_not(
    workspace: Workspace, model: Model
) -> None:
    edits = (MusicEdit(Controls(bars=2)), edit_source(compose(4), added_bars=1))
    stored = []
    for edit in edits:
        request = replace(engine.build_request(["a folk tune"], 1, 1, (), {}), edit=edit)
        stored += store_outputs(workspace, model, request, run_request(model, request))
    (eval_prompt,) = build_eval_prompts(workspace, model, stored, 4)
    (answer,) = generate_answers(workspace, model, [eval_prompt], {})
    assert len(answer.bars) == 2


def test_words_of_the_prompt_count_beside_options(model: Model) -> None:
    request = Request(("a sad waltz for flute, 4 bars", "a jig in G major"), (1, 2))
    edit = build_edit(EditOptions(bars=3, in_key=True), model)
    texts = engine.describe_constraints(model, replace(request, edit=edit))
    assert texts == ["minor, 3/4, flute, 3 bars, in key", "G major, 6/8, folk tune, 3 bars, in key"]
    assert engine.describe_constraints(model, request)[0] == "minor, 3/4, flute, 4 bars"
    assert engine.describe_constraints(model, Request(("",), (1,))) == [""]
    assert engine.describe_constraints(model, Request(("99 bars",), (1,))) == ["64 bars"]


def test_a_piece_that_would_be_cut_off_is_complete_or_refused(model: Model) -> None:
    (score,) = generate(model, MusicEdit(Controls(bars=20, programs=(40, 40, 41, 42))))
    assert len(score.bars) <= 20
    assert [part.program for part in score.parts] == [40, 40, 41, 42]
    (short,) = generate(model, MusicEdit(Controls(bars=2, programs=(73,))), max_tokens=24)
    assert len(short.bars) <= 2
    with raises_code("music.too_many_bars", maximum=23):
        generate(model, MusicEdit(Controls(bars=40, programs=(40, 40, 41, 42))))
    with raises_code("music.too_many_bars", maximum=64):
        generate(model, MusicEdit(Controls(bars=70)))
    with raises_code("music.source_too_long", bars=80):
        generate(model, edit_source(compose(80), vary=0.5))
    with raises_code("music.task_too_long"):
        generate(model, edit_source(compose(40), programs=(42, 42)))
    with raises_code("music.too_many_voices"):
        generate(model, edit_source(compose(2, 9), programs=(42,) * 8))


def test_outputs_are_shown_played_saved_and_not_continued_as_text(workspace: Workspace, tmp_path: Path) -> None:
    tunes = gl.Workspace(workspace.root).model("tunes")
    (output,) = tunes.generate("a waltz for flute, 2 bars", seed=1)
    assert output.record["understood"] == "3/4, flute, 2 bars"
    bundle = output._repr_mimebundle_()
    assert "<img" in bundle["text/html"]
    assert "<audio" in bundle["text/html"]
    assert music.open(output.save(tmp_path / "waltz.abc")).value.meters[0][1:] == (3, 4)
    (longer,) = tunes.generate("", source=output.path, continue_=1, seed=1)
    assert list_notes(longer.value, end=48) == list_notes(output.value, end=48)
    longer.replay()
    with raises_code("api.continue_unsupported"):
        list(tunes.iter_generate([""], continue_from=output.id))


def test_only_the_last_draft_is_decoded(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    decode = type(model.codec).decode
    monkeypatch.setattr(type(model.codec), "decode", lambda codec, ids: decoded.append(len(ids)) or decode(codec, ids))
    (score,) = generate(model, MusicEdit(Controls(bars=2, programs=(73,))))
    assert decoded == [decoded[0]]
    assert score.num_notes <= decoded[0]


def test_density_is_that_of_the_voices_that_sound(model: Model) -> None:
    source = compose(4)
    start = edit_source(source, programs=(42,) * 6).prepare(model, Request(("",), (1,)))
    assert to_token("density", measure_density(source)) in start.inputs["prompt_ids"][0]


def test_options_that_contradict_each_other_are_refused(model: Model, tmp_path: Path) -> None:
    source = tmp_path / "motif.mid"
    music.save(Item(compose(4)), source)
    assert build_edit(EditOptions(source=source, fill="2-3"), model).task == Task(fill=(1, 3))
    assert build_edit(EditOptions(source=source, harmonise=2), model).task.programs == (41, 41)
    assert build_edit(EditOptions(source=source, accompany="cello and bass"), model).task.programs == (42, 32)
    slower = build_edit(EditOptions(source=source, vary=0.5, tempo=60), model).source
    assert slower is not None
    assert slower.tempos[0].bpm == 60
    for options, code in (
        (EditOptions(fill="1-2"), "task_without_source"),
        (EditOptions(source=source), "tasks_of_source"),
        (EditOptions(source=source, fill="1", vary=0.5), "tasks_of_source"),
        (EditOptions(source=source, fill="3-9"), "bad_bars"),
        (EditOptions(source=source, fill="x"), "bad_bars"),
        (EditOptions(source=source, fill="2", meter="3/4"), "option_of_source"),
        (EditOptions(source=source, fill="2", bars=3), "option_of_source"),
        (EditOptions(source=source, accompany="kazoo"), "unknown_instruments"),
        (EditOptions(instruments="kazoo"), "unknown_instruments"),
        (EditOptions(instruments="kazoo choir"), "unknown_instruments"),
        (EditOptions(source=source, accompany="a cello and kazoos"), "unknown_instruments"),
        (EditOptions(key="Z major"), "unknown_key"),
        (EditOptions(meter="17/16"), "unknown_meter"),
    ):
        with raises_code(f"music.{code}"):
            build_edit(options, model)
    with raises_code("generate.bad_edit_option", name="bars"):
        build_edit(EditOptions(bars=99), model)


def test_the_medium_suggests_parameters_where_people_choose_none(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(music, "suggested_params", {"top_p": 0.9, "another_sampler": 1})
    suggested = sampling_params.add_suggested_params(model, {"top_k": 5})
    assert (suggested["top_p"], suggested["top_k"]) == (0.9, 5)
    assert "another_sampler" not in suggested
    assert sampling_params.add_suggested_params(model, {"top_p": 0.5})["top_p"] == 0.5
