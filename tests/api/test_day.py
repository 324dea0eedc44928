"""A day with a notebook: collect, train, generate, rate, learn, measure, ask, forget, export."""

import json
import shutil
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import genloom as gl
from genloom.api.generation import GenerationProgress
from tests.errors import raises_code

SIZES: dict[str, Any] = {
    "network.base.width": 16, "network.base.depth": 1, "network.base.heads": 2, "context_length": 32,
    "batch_size": 4, "plan.precision": "float32",
}  # fmt: skip


@pytest.fixture(scope="module")
def notes(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("api") / "notes"
    folder.mkdir()
    for n, tale in enumerate(worlds.make_tales(40, seed=1, lines=30)):
        (folder / f"{n}.txt").write_text(tale, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def morning(notes: Path) -> gl.Workspace:
    """A workspace in which notes were collected and a model trained."""
    ws = gl.Workspace(notes.parent / "workspace", rater="mia")
    ws.collect(notes, near_duplicates=0, val=0.2, workers=1, licence="mine")
    ws.train("notes", steps=12, overrides=SIZES, threads=1)
    return ws


@pytest.fixture
def ws(morning: gl.Workspace, tmp_path: Path) -> gl.Workspace:
    """A copy of that workspace."""
    shutil.copytree(morning.folder, tmp_path / "workspace")
    return gl.Workspace(tmp_path / "workspace", rater="mia")


def test_collecting_gives_the_data_set_with_its_report(notes: Path, tmp_path: Path) -> None:
    ws = gl.Workspace(tmp_path)
    *_, last = ws.iter_collect([notes], name="tales", near_duplicates=0, workers=1)
    data = ws.dataset("tales")
    assert last.report is not None
    assert last.report.digest == data.digest
    assert len(data) == data.report["documents"]["kept"] == 40
    assert sum(1 for split in ("train", "val", "test") for _ in data.documents(split)) == 40
    assert data.medium == "text"
    assert "tales" in data.card
    assert [each.name for each in ws.datasets] == ["tales"]
    with raises_code("api.several_sources_without_name"):
        ws.collect([notes, notes])


def test_training_yields_events_or_ends_with_the_model(ws: gl.Workspace) -> None:
    events = list(ws.iter_train("notes", name="again", steps=3, overrides=SIZES, threads=1))
    steps = [event.step for event in events if hasattr(event, "units_per_second") and hasattr(event, "step")]
    assert steps == [1, 2, 3]
    model = ws.model(events[-1].ref)  # ty: ignore[missing-union-attribute]
    assert (model.ref, model.is_active) == ("again/1", True)
    longer = ws.runs[-1].resume(steps=6, threads=1)
    assert (longer.ref, longer.card["fact"]["steps"]) == ("again/2", 6)
    assert ws.runs[-1].model is not None
    assert [row["step"] for row in ws.runs[-1].log if "losses" in row][-1] == 6


def test_a_stopped_training_is_continued(ws: gl.Workspace) -> None:
    events = ws.iter_train("notes", name="stopped", steps=6, overrides=SIZES, threads=1)
    for event in events:
        if getattr(event, "step", 0) == 2:
            events.close()
    assert ws.runs[-1].model is None
    assert ws.train("stopped", resume=True).card["fact"]["steps"] == 6


def test_a_model_is_fine_tuned_with_an_adapter(ws: gl.Workspace) -> None:
    sizes = {"network.name": "transformer", "network.width": 16, "network.depth": 1, "network.heads": 2}
    base = ws.train(
        "notes", name="base", steps=3, threads=1, overrides={**sizes, "context_length": 32, "batch_size": 4}
    )
    tuned = ws.train("notes", name="tuned", from_=base, steps=2, threads=1)
    assert (tuned.folder.is_adapter, tuned.folder.parent_ref) == (True, "base/1")
    text = base.generate("The", seed=1, max_tokens=5, adapters=[tuned.ref])[0]
    assert text.record["adapters"] == {"tuned/1": tuned.digest}


def test_arguments_that_contradict_each_other_are_refused(ws: gl.Workspace) -> None:
    model = ws.model("notes")
    with raises_code("api.method_without_model"):
        ws.train("notes", method="full")
    with raises_code("api.resume_with_plan"):
        ws.train("notes", resume=True, minutes=1)
    with raises_code("api.resume_with_name", run='"my notes"'):
        ws.train("my notes", resume=True, name="x")
    with raises_code("api.resume_with_name", run="notes"):  # a run of this name exists, and is the one meant
        ws.train("my notes", resume=True, name="notes")
    with raises_code("api.forget_target"):
        model.forget()
    with raises_code("api.stop_without_text"):
        ws.model("icons").generate("a fox", stop="x")
    with raises_code("api.empty_stop"):
        model.generate(stop="")
    with raises_code("api.no_prompts"):
        model.generate([])
    with raises_code("generate.unknown_param", name="heat"):
        model.generate(heat=1)
    with raises_code("conditioners.unknown", name="logp"):
        model.generate(given={"logp": 2.5})


def test_outputs_are_stored_and_replayed(ws: gl.Workspace, tmp_path: Path) -> None:
    model = ws.model("notes")
    outputs = model.generate(["The old", "Zoë"], n=2, seed=7, max_tokens=20)
    assert [output.prompt for output in outputs] == ["The old", "The old", "Zoë", "Zoë"]
    assert all(output.value == output.prompt + output.continuation for output in outputs)
    assert model.generate(["The old", "Zoë"], n=2, seed=7, max_tokens=20)[3].value == outputs[3].value
    assert outputs[1].replay() == outputs[1].value
    assert ws.output("last").id == ws.outputs[-1].id
    assert (tmp_path / "copies").exists() is False
    assert [path.read_text() for path in outputs.save(tmp_path / "copies")] == [output.value for output in outputs]
    assert {option.name for option in model.list_options()} >= {"temperature", "max_tokens", "top_p"}
    assert "draft" in ws.presets()


def test_numbers_of_numpy_are_those_of_python(ws: gl.Workspace) -> None:
    options: dict[str, Any] = {"n": np.int64(1), "seed": np.int64(3), "temperature": np.float32(0.5)}
    (output,) = ws.model("notes").generate("The old", max_tokens=np.int64(6), **options)
    assert output.record["request"]["params"] == {"temperature": 0.5, "max_tokens": 6}
    assert output.value == ws.model("notes").generate("The old", seed=3, temperature=0.5, max_tokens=6)[0].value


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        ("api.wrong_argument", {"prompt": None}),
        ("api.wrong_argument", {"prompt": Path("x")}),
        ("api.wrong_argument", {"prompt": b"The"}),
        ("api.wrong_argument", {"stop": 3}),
        ("api.wrong_argument", {"n": "3"}),
        ("api.wrong_argument", {"n": 2.5}),
        ("api.wrong_argument", {"seed": "abc"}),
        ("core.bad_setting_value", {"max_tokens": "five"}),
    ],
)
def test_an_argument_of_a_wrong_type_is_named(code: str, arguments: dict[str, Any], ws: gl.Workspace) -> None:
    with pytest.raises(gl.GenloomError) as caught:
        ws.model("notes").generate(**arguments)
    assert caught.value.code == code, caught.value


@pytest.mark.parametrize(
    ("method", "arguments", "name"),
    [
        ("collect", {"sources": None}, "sources"),
        ("train", {"data": "notes", "minutes": "five"}, "minutes"),
        ("model", {"name": 3}, "name"),
        ("output", {"id": None}, "id"),
        ("restore", {"name": 5}, "name"),
        ("rate", {"output": "last", "up": "yes"}, "up"),
        ("train", {"data": "notes", "from_": 3}, "from_"),
        ("promote", {"model": None, "version": 1}, "model"),
        ("dataset", {"name": Path("x")}, "name"),
        ("collect", {"sources": ["x", 3]}, "sources"),
    ],
)
def test_an_argument_of_a_wrong_type_of_a_workspace_is_named(
    method: str, arguments: dict[str, Any], name: str, ws: gl.Workspace
) -> None:
    with raises_code("api.wrong_argument", argument=name, method=method):
        getattr(ws, method)(**arguments)


def test_a_generation_yields_its_steps(ws: gl.Workspace) -> None:
    *steps, output = ws.model("notes").iter_generate("The", max_tokens=6, seed=1)
    assert isinstance(output, gl.Output)
    drafts = [step.draft.values[0] for step in steps if isinstance(step, GenerationProgress) and step.draft]
    assert drafts[-1] == output.value
    assert all(later.startswith(earlier) for earlier, later in pairwise(drafts))


def test_ratings_are_given_listed_and_withdrawn(ws: gl.Workspace) -> None:
    first, second, third = ws.model("notes").generate("The old", n=3, seed=1, max_tokens=8)
    thumb, choice = first.rate(up=True), first.better_than(second)
    third.rate(stars=2.0, rater="ben")  # ty: ignore[invalid-argument-type]
    third.rate(note="dull")
    assert [row["says"].split()[-1] for row in ws.ratings("notes").rows] == ["good", second.id, "**", "note"]
    assert ws.ratings().is_enough is False
    ws.withdraw(choice)
    ws.withdraw(thumb.id)
    assert ws.ratings().to_json()["pairs"] == 0
    assert [row["kind"] for row in ws.export_ratings()] == ["rating", "choice", "rating", "rating", *["withdrawal"] * 2]
    head = ws.verify_ledger()
    assert head is not None
    assert head.seq == 6
    with raises_code("api.rating_conflict"):
        first.rate(up=True, stars=5)
    with raises_code("api.rating_missing"):
        first.rate()
    with raises_code("rate.bad_value"):
        first.rate(stars=6)


def test_a_session_of_choices_is_continued(ws: gl.Workspace) -> None:
    prompts = ["The old", "A young", "Zoë"]
    arena = ws.model("notes").arena(prompts, repeats=0, max_tokens=6)
    for trial in arena:
        trial.choose("a")
        break
    rest = ws.model("notes").arena(prompts, repeats=0, max_tokens=6)
    shown = [(trial.position, trial.choose("tie").body["rater"]) for trial in rest]
    assert shown == [(2, "mia"), (3, "mia")]
    summary = rest.summarize()
    assert (summary["first"], summary["ties"], len(summary["choices"])) == (1, 2, 3)
    with raises_code("api.arena_prompts_missing"):
        ws.model("notes").arena([])
    with raises_code("api.arena_same_model"):
        ws.model("notes").arena("x", against="notes/1")


def test_an_arena_shows_nothing_that_the_medium_withholds(ws: gl.Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from genloom.media import text

    reasons = iter(["banned", "", "banned", ""])
    monkeypatch.setattr(text, "screen_value", lambda value: next(reasons), raising=False)
    (trial,) = ws.model("notes").arena(["The"], repeats=0, max_tokens=6)
    assert {output.id for output in ws.outputs} == {trial.a.id, trial.b.id}
    monkeypatch.setattr(text, "screen_value", lambda value: "banned")
    with raises_code("generate.nothing_selected"):
        list(ws.model("notes").arena(["A"], repeats=0, max_tokens=6))


def test_a_model_learns_from_ratings_and_is_promoted_and_rolled_back(ws: gl.Workspace) -> None:
    model = ws.model("notes")
    outputs = model.generate([f"Tale {n}\n" for n in range(64)], n=2, seed=1, max_tokens=24)
    choices = [first.better_than(second) for first, second in zip(outputs[::2], outputs[1::2], strict=True)]
    assert {event.body["machine"] for event in model.rate("regex:pattern=o")} == {True}
    receipt = model.learn(steps=2, max_eval_prompts=4, seed=1)
    assert receipt.challenger.ref == "notes/2"
    assert receipt.model.ref == ("notes/2" if receipt.is_promoted else "notes/1")
    assert receipt.page.is_file()
    assert "<html" in receipt.render_html()
    assert receipt.challenger.ref in repr(receipt)
    assert str(receipt).splitlines()
    if not receipt.is_promoted:
        receipt.challenger.promote("to try it")
    assert ws.model("notes").ref == "notes/2"
    ws.rollback("notes")
    assert ws.model("notes").ref == "notes/1"
    ws.promote("notes", 2)
    forgotten = ws.model("notes").forget(rater="mia")
    assert set(forgotten.withdrawn_events) == {event.id for event in choices}  # ty: ignore[missing-union-attribute]
    assert ws.model("notes").ref == "notes/1"


def test_a_document_is_forgotten(ws: gl.Workspace) -> None:
    document = next(iter(ws.dataset("notes").documents())).meta["id"]
    result = ws.model("notes").forget(item=document)
    assert result.new_version == ws.model("notes").ref == "notes/2"
    assert document not in [item.meta["id"] for item in ws.dataset("notes").documents()]


def test_models_are_measured_and_compared(ws: gl.Workspace, tmp_path: Path) -> None:
    model = ws.model("notes")
    evaluation = model.evaluate(num_samples=2, max_tokens=8)
    assert evaluation.to_json()["model"] == "notes/1"
    assert str(evaluation).splitlines() == list(evaluation.lines)
    folder = evaluation.save(tmp_path / "report")
    assert json.loads((folder / "evaluation.json").read_text())["model"] == "notes/1"
    assert evaluation.files.keys() <= {path.name for path in folder.iterdir()}
    other = ws.train("notes", name="other", steps=2, overrides=SIZES, threads=1)
    comparison = model.compare(other, max_tokens=4)
    assert comparison.verdict in ("better", "worse", "no difference shown")
    assert comparison.save(tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
    with raises_code("evaluate.unknown_task"):
        model.evaluate(battery=True, tasks="chess")


def test_a_model_answers_in_a_conversation(ws: gl.Workspace, worlds: ModuleType) -> None:
    with raises_code("generate.cannot_chat"):
        ws.model("notes").chat()
    worlds.mark_chat_tuned(ws.store, "notes")
    chat = ws.model("notes").chat("Who saw the sea?", seed=1, max_tokens=8)
    first = chat.answer
    first.rate(up=True)
    assert first.replay() == first.value
    assert "".join(chat.iter_ask("Why?")) == chat.answer.value
    assert chat.retry().id != first.id
    chat.edit(1, "Who sang?")
    assert chat.conversation.questions == ("Who sang?",)
    assert 0 < chat.num_tokens <= chat.context_length
    chat.save("Songs")
    assert [row["title"] for row in ws.conversations.to_records()] == ["Songs"]
    again = ws.conversations[0].resume(max_tokens=4)
    assert again.conversation.questions == ("Who sang?",)
    with raises_code("api.empty_question"):
        chat.ask("  ")
    ws.model("notes").chat("And this?", is_saved=False, max_tokens=4)
    assert len(ws.conversations) == 1


def test_a_model_is_exported_and_imported_again(worlds: ModuleType, tmp_path: Path) -> None:
    ws = gl.Workspace(tmp_path / "workspace")
    worlds.finish_run(ws.store, worlds.build_job(worlds.create_dataset(ws.store), 2, codec__name="bpe"))
    done: list[float] = []
    result = ws.model("tales").export(tmp_path / "hf", progress=lambda share, step: done.append(share))
    assert (result.path, done[-1]) == (tmp_path / "hf", 1.0)
    copy = ws.import_model(tmp_path / "hf", name="copy")
    assert copy.generate("The", seed=1, temperature=0, max_tokens=4)[0].value == (
        ws.model("tales").generate("The", seed=1, temperature=0, max_tokens=4)[0].value
    )
    with raises_code("exchange.output_exists"):
        ws.model("tales").export(tmp_path / "hf")


def test_the_machine_and_the_workspace_are_checked(ws: gl.Workspace) -> None:
    diagnosis = ws.doctor()
    assert diagnosis.problems == ()
    assert diagnosis.workspace["models"] == 1
    (ws.model("notes").folder.folder / "weights.safetensors").write_bytes(b"short")
    assert len(ws.doctor().problems) == 1
    assert "Problem" in str(ws.doctor())


def test_the_parts_are_listed() -> None:
    assert {"text", "image"} <= set(gl.parts("medium")["medium"])
    assert "transformer" in gl.parts()["network"]
    with raises_code("api.unknown_kind", kind="colour"):
        gl.parts("colour")
