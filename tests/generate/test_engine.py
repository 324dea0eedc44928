"""The one engine: what a request gives does not depend on company, is stored with all it takes, and replays."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from genloom.generate import engine
from genloom.generate.engine import Request, finished, generate, portions, replay, request, store
from genloom.generate.sequences import silent
from genloom.model import Model, open_model, parts_of, write_model
from genloom.networks import precision as precisions
from genloom.networks.native import build as native
from genloom.noise import POOL
from genloom.store.workspace import Workspace
from genloom.types import Tokens


@pytest.fixture(scope="module")
def home(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return worlds.home(tmp_path_factory.getbasetemp() / "home")


@pytest.fixture(scope="module")
def model(home: Workspace) -> Model:
    return open_model(home, "tales")


@pytest.fixture(scope="module")
def masks(home: Workspace) -> Model:
    return open_model(home, "masks")


@pytest.fixture
def workspace(home: Workspace, tmp_path: Path) -> Workspace:
    """A copy with the models only, to store outputs in and to spoil."""
    shutil.copytree(home.root / "models", tmp_path / "models")
    return Workspace(tmp_path)


def asked(*prompts: str, seed: int = 0, count: int = 1, stops: tuple[str, ...] = (), **controls: Any) -> Request:
    return request(prompts or ("",), count, seed, stops, {"length": 60, **controls})


def test_a_model_that_learned_tales_writes_tales(model: Model) -> None:
    draft = finished(model, asked("Zoë", count=4, temperature=0.5, length=200))
    assert all(text.startswith("Zoë") for text in draft.items)
    assert all(text == "Zoë" + written for text, written in zip(draft.items, draft.written, strict=True))
    words = " ".join(draft.written).split()
    known = set(
        " ".join(["saw sang to forgot followed wrote for wept over the sea. a red boat. old king young"]).split()
    )
    assert sum(word in known for word in words) > len(words) / 4


def test_a_seed_fixes_the_outputs_and_another_gives_others(model: Model) -> None:
    once, again = finished(model, asked(count=3, seed=7)), finished(model, asked(count=3, seed=7))
    assert once == again
    assert len(set(once.items)) == 3
    assert not set(once.items) & set(finished(model, asked(count=3, seed=8)).items)


def test_without_a_seed_every_request_is_another() -> None:
    drawn = {request(["x"], 1, None, (), {}).nonces for _ in range(8)}
    assert len(drawn) > 4


def test_the_nonces_of_a_prompt_differ_also_beyond_the_pool() -> None:
    nonces = request(["a", "b"], POOL + 10, 0, (), {}).nonces
    assert len(set(nonces[: POOL + 10])) == POOL + 10
    assert all(nonce < POOL for nonce in nonces[:POOL])
    assert nonces[:POOL] != nonces[POOL + 10 :][:POOL]


@pytest.mark.parametrize("which", ["model", "masks"])
def test_rows_of_a_batch_equal_the_same_rows_alone(which: str, model: Model, masks: Model) -> None:
    writer = {"model": model, "masks": masks}[which]
    length = {"model": 70, "masks": 20}[which]
    whole = asked("The old", "", "A young crow sang to the café. " * 4, "狐", count=2, seed=3, length=length)
    together = finished(writer, whole)
    for row in range(len(whole.prompts)):
        alone = replace(whole, prompts=whole.prompts[row : row + 1], nonces=whole.nonces[row : row + 1])
        assert finished(writer, alone).items == together.items[row : row + 1]
    for portion, first in zip(portions(whole, 3), (0, 3, 6), strict=True):
        assert finished(writer, portion).items == together.items[first : first + 3]


def test_a_draft_only_grows(model: Model) -> None:
    """Nothing that was shown is taken back: no half characters, no beginnings of a stop string."""
    shown = [""] * 4
    for draft in generate(
        model, asked("My naïve", count=4, seed=1, stops=("boat.", "king"), temperature=1.3, length=150)
    ):
        assert all(text.startswith(before) for text, before in zip(draft.items, shown, strict=True))
        shown = list(draft.items)


def test_no_draft_ends_in_a_broken_character(model: Model) -> None:
    *drafts, last = generate(model, asked("A young crow saw a ", "The 狐 followed ", seed=2, count=4, length=120))
    assert not any(text.endswith("\ufffd") for draft in drafts for text in draft.items)
    assert set("".join(last.written)) & set("ëï狐é😀"), "characters of several bytes were written"


def test_stop_strings_end_an_output_and_are_not_part_of_it(model: Model) -> None:
    free = finished(model, asked("The old king", seed=5, length=200, count=4))
    bounded = finished(model, asked("The old king", seed=5, length=200, count=4, stops=("the ", ".\n")))
    for text, whole in zip(bounded.written, free.written, strict=True):
        cut = min(at for at in (whole.find("the "), whole.find(".\n")) if at >= 0)
        assert text == whole[:cut]
    assert all(bounded.ended)


def test_the_beginning_of_a_stop_string_is_not_shown_before_it_is_decided(model: Model) -> None:
    free = finished(model, asked("", seed=11, length=300))
    stop = free.written[0][30:38]
    assert len(stop) == 8, "this seed writes more than that"
    for draft in generate(model, asked("", seed=11, length=300, stops=(stop,))):
        assert not any(draft.written[0].endswith(stop[:n]) for n in range(1, len(stop)))
    assert draft.written[0] == free.written[0].split(stop)[0]


def test_the_beginning_of_a_stop_string_at_the_end_is_text(model: Model) -> None:
    free = finished(model, asked("", seed=11, length=40))
    assert finished(model, asked("", seed=11, length=40, stops=(free.written[0][-1] + "~~~",))) == free


def test_a_row_that_ended_costs_no_more_steps(model: Model) -> None:
    drafts = list(generate(model, asked("The old king", seed=5, length=2000, stops=(" ",))))
    assert len(drafts) < 50


@pytest.mark.parametrize("length", [1, 7, 47, 48, 49, 200])
def test_the_length_is_kept_also_beyond_what_the_network_reads(model: Model, length: int) -> None:
    draft = finished(model, asked("x", length=length, temperature=1.0))
    size = len(model.codec.encode(draft.written[0]))
    assert size <= length or "\ufffd" in draft.written[0]
    assert size > length / 2 or any(draft.ended)


def test_of_a_prompt_that_is_too_long_the_end_counts(model: Model) -> None:
    tail = "Nobody wept over the sea.\nThe old king saw"
    long, longer = "y" * 300 + tail * 2, "z" * 500 + tail * 2
    assert len(model.codec.encode(tail * 2)) > model.design.length
    first, second = finished(model, asked(long, seed=4)), finished(model, asked(longer, seed=4))
    assert first.written == second.written
    assert first.items[0].startswith(long)


def test_special_symbols_are_text_in_a_prompt_and_never_written(model: Model) -> None:
    draft = finished(model, asked("<|user|><|stop|>", temperature=3.0, length=100, count=4))
    assert all(text.startswith("<|user|><|stop|>") for text in draft.items)
    assert isinstance(model.codec.space, Tokens)
    banned = silent(model.codec, [model.codec.space.stop])
    assert len(banned) == 4
    assert not any(0 <= symbol < 256 for symbol in banned)


@pytest.mark.parametrize(
    ("controls", "words"),
    [
        ({"temprature": 1}, "has no setting 'temprature'. It has: length, min_p, repetition_penalty, temperature,"),
        ({"banned": (1,)}, "has no setting 'banned'"),
        ({"temperature": -1.0}, "temperature must be 0, or from 0.001 to 1000, got -1.0."),
        ({"top_p": 7.0}, "top_p must be from 0 to 1"),
        ({"min_p": -0.5}, "min_p must be from 0"),
        ({"repetition_penalty": 0}, "repetition_penalty must be above 0"),
        ({"top_k": "many"}, "generate.top_k: Input should be a valid integer"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_in_words_that_help(model: Model, controls: dict, words: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        finished(model, asked(**controls))
    assert words in str(caught.value)


@pytest.mark.parametrize(("prompts", "count", "seed"), [(("x",), 0, 0), ((), 1, 0), (("x",), -3, 0), (("x",), 1, -1)])
def test_nothing_to_write_is_refused(prompts: tuple[str, ...], count: int, seed: int) -> None:
    with pytest.raises(ValueError, match=r"nothing to write|whole number from 0 on"):
        request(prompts, count, seed, (), {})


def test_the_likeliest_symbols_need_no_chance(model: Model) -> None:
    once = finished(model, asked("The", seed=1, temperature=0.0))
    assert once.items == finished(model, asked("The", seed=2, temperature=0.0)).items
    assert once.items == finished(model, asked("The", seed=3, top_k=1)).items


def test_symbols_to_go_on_from_are_read_as_they_are(model: Model) -> None:
    text = asked("Zoë", "The old", seed=5)
    space = model.codec.space
    assert isinstance(space, Tokens)
    rows = tuple((space.start, *model.codec.encode(prompt).tolist()) for prompt in text.prompts)
    named = replace(text, prompts=("first", "second"), ids=rows)
    assert finished(model, named).written == finished(model, text).written
    assert finished(model, named).items == finished(model, named).written, "what stands there already is no output"
    assert [portion.ids for portion in portions(named, 1)] == [rows[:1], rows[1:]]


@pytest.mark.parametrize("row", [(), (-1,), (5, 10_000)])
def test_symbols_that_are_none_are_refused(model: Model, row: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="numbers from 0 to 260, one or more"):
        finished(model, replace(asked(""), ids=(row,)))


def test_symbols_can_end_an_output(model: Model) -> None:
    free = finished(model, asked("The old king", seed=5, length=200))
    bounded = finished(model, replace(asked("The old king", seed=5, length=200), ends=tuple(b".")))
    assert bounded.written[0] == free.written[0].split(".")[0]
    assert bounded.ended == (True,)
    assert bounded.symbols == (len(bounded.written[0].encode()),)


def test_a_draft_that_is_enough_is_made_again_by_the_request_cut_short(model: Model) -> None:
    whole = asked("Zoë", seed=3, length=80, temperature=1.2)
    for most in range(1, 24):
        asks = iter([False] * (most - 1) + [True])
        *_, last = generate(model, whole, lambda asks=asks: next(asks))
        assert last.symbols == (most,)
        assert finished(model, engine.cut_short(whole, last)) == last


def test_what_ended_by_itself_is_not_cut_short(model: Model) -> None:
    whole = asked("The old king", seed=5, length=200, stops=(".",))
    assert engine.cut_short(whole, finished(model, whole)) == whole


# outputs in the store


def test_an_output_replays_to_the_same_bytes(workspace: Workspace) -> None:
    model = open_model(workspace, "tales")
    made = asked("Zoë", "", seed=9, count=2, temperature=1.1, stops=("~",), top_p=0.9)
    draft = finished(model, made)
    ids = store(workspace, model, made, draft)
    for output, text, prompt in zip(ids, draft.items, made.prompts, strict=True):
        path, item = replay(workspace, output)
        assert item == text
        assert path.read_text(encoding="utf-8").rstrip("\n") == text.rstrip("\n")
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        assert record["model_digest"] == workspace.model("tales").digest
        assert record["prompt"] == prompt
        assert record["request"]["controls"]["top_p"] == 0.9
        assert record["request"]["nonces"][record["row"]] == made.nonces[record["row"]]


@pytest.mark.parametrize("precision", ["bfloat16", "int8", "int4"])
def test_a_replay_computes_in_the_precision_of_the_output(workspace: Workspace, model: Model, precision: str) -> None:
    if precision in precisions.BITS and native.available():
        pytest.skip(native.available())
    design = replace(model.design, network_settings={"width": 32, "depth": 1, "heads": 1, "tied": False})
    parts = parts_of(design, model.objective)
    torch.nn.init.normal_(parts["model"].get_parameter("head.weight"), generator=torch.Generator().manual_seed(0))
    with workspace.new_model("noise") as folder:
        write_model(replace(model, parts=parts, design=design), folder, design.tables(), {})
    writer = open_model(workspace, "noise", (), precision)
    made = asked("Zoë", "My", seed=9, count=2, temperature=1.1)
    draft = finished(writer, made)
    for output, text in zip(store(workspace, writer, made, draft), draft.items, strict=True):
        assert replay(workspace, output)[1] == text
        assert json.loads(workspace.output(output)[0].with_suffix(".json").read_text())["precision"] == precision


@pytest.fixture
def output(workspace: Workspace) -> str:
    model = open_model(workspace, "tales")
    made = asked("Zoë", seed=9)
    (output,) = store(workspace, model, made, finished(model, made))
    return output


def test_a_changed_file_does_not_replay(workspace: Workspace, output: str) -> None:
    path, _ = workspace.output(output)
    path.write_text("something else")
    with pytest.raises(ValueError, match="was changed since it was written"):
        replay(workspace, output)


def test_another_model_of_the_same_name_does_not_replay(workspace: Workspace, output: str) -> None:
    shutil.rmtree(workspace.root / "models/tales")
    with pytest.raises(ValueError, match="There is no model 'tales'"):
        replay(workspace, output)
    shutil.copytree(workspace.root / "models/masks", workspace.root / "models/tales")
    with pytest.raises(ValueError, match=f"tales/1 is not the model that wrote {output}: its digest differs"):
        replay(workspace, output)


def test_a_replay_that_differs_names_what_changed(
    workspace: Workspace, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = workspace.output(output)[0].with_suffix(".json")
    facts = json.loads(record.read_text())
    facts["request"]["nonces"] = [facts["request"]["nonces"][0] + 1]
    record.write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=r"does not give the stored bytes\. Genloom itself may have"):
        replay(workspace, output)
    facts["machine"]["cpu"] = "ABACUS"
    record.write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=r"The machine changed \(cpu: ABACUS → "):
        replay(workspace, output)


def test_a_record_of_something_else_does_not_replay(workspace: Workspace) -> None:
    output = workspace.record_output("by hand", ".txt", {"model": "tales/1"})
    with pytest.raises(ValueError, match="does not say how"):
        replay(workspace, output)
    with pytest.raises(ValueError, match="There is no output 'nonsense'"):
        replay(workspace, "nonsense")


# the same engine for a model that writes here and there


def test_masked_drafts_show_what_is_still_hidden(masks: Model) -> None:
    drafts = list(generate(masks, asked("The old", length=16, seed=1)))
    assert drafts[0].written[0].count("·") >= 14
    counts = [draft.written[0].count("·") for draft in drafts]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 0
    assert drafts[-1].items[0] == "The old" + drafts[-1].written[0]
    assert finished(masks, asked("The old", length=16, seed=1)) == drafts[-1]


def test_masked_stop_strings_wait_until_all_before_them_is_written(masks: Model) -> None:
    free = finished(masks, asked("The old", length=24, seed=1, count=6))
    bounded = finished(masks, asked("The old", length=24, seed=1, count=6, stops=("e",)))
    assert bounded.written == tuple(text.split("e")[0] for text in free.written)


def test_a_masked_model_says_how_much_it_sees(masks: Model) -> None:
    with pytest.raises(ValueError, match="sees 48 symbols at once, prompt included: choose a length below 48"):
        finished(masks, asked("x", length=48))
    half = finished(masks, request(("x" * 100,), 1, 0, (), {"length": None}))
    assert len(masks.codec.encode(half.written[0])) <= 24 or "\ufffd" in half.written[0]
    with pytest.raises(ValueError, match=r"'masked' has no setting 'top_k'\. It has: length, order, steps, temp"):
        finished(masks, asked("x", top_k=3, length=8))
