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
from genloom.generate.engine import (
    Request,
    build_request,
    generate,
    replay_output,
    run_request,
    split_batches,
    store_outputs,
)
from genloom.generate.text.token_prompts import list_suppressed_tokens
from genloom.model import Model, build_networks, load_model, save_model
from genloom.networks import precision as precisions
from genloom.networks.native import build as native
from genloom.noise import NUM_TOKEN_NONCES
from genloom.store.workspace import Workspace
from genloom.types import TokenSpace


@pytest.fixture(scope="module")
def home(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return worlds.home(tmp_path_factory.getbasetemp() / "home")


@pytest.fixture(scope="module")
def model(home: Workspace) -> Model:
    return load_model(home, "tales")


@pytest.fixture(scope="module")
def masks(home: Workspace) -> Model:
    return load_model(home, "masks")


@pytest.fixture
def workspace(home: Workspace, tmp_path: Path) -> Workspace:
    """A copy with the models only, to store outputs in and to spoil."""
    shutil.copytree(home.root / "models", tmp_path / "models")
    return Workspace(tmp_path)


def asked(*prompts: str, seed: int = 0, count: int = 1, stops: tuple[str, ...] = (), **controls: Any) -> Request:
    return build_request(prompts or ("",), count, seed, stops, {"length": 60, **controls})


def test_a_model_that_learned_tales_writes_tales(model: Model) -> None:
    draft = run_request(model, asked("Zoë", count=4, temperature=0.5, length=200))
    assert all(text.startswith("Zoë") for text in draft.values)
    assert all(text == "Zoë" + written for text, written in zip(draft.values, draft.continuations, strict=True))
    words = " ".join(draft.continuations).assign_split()
    known = set(
        " ".join(["saw sang to forgot followed wrote for wept over the sea. a red boat. old king young"]).split()
    )
    assert sum(word in known for word in words) > len(words) / 4


def test_a_seed_fixes_the_outputs_and_another_gives_others(model: Model) -> None:
    once, again = run_request(model, asked(count=3, seed=7)), run_request(model, asked(count=3, seed=7))
    assert once == again
    assert len(set(once.values)) == 3
    assert not set(once.values) & set(run_request(model, asked(count=3, seed=8)).values)


def test_without_a_seed_every_request_is_another() -> None:
    drawn = {build_request(["x"], 1, None, (), {}).nonces for _ in range(8)}
    assert len(drawn) > 4


def test_the_nonces_of_a_prompt_differ_also_beyond_the_pool() -> None:
    nonces = build_request(["a", "b"], NUM_TOKEN_NONCES + 10, 0, (), {}).nonces
    assert len(set(nonces[: NUM_TOKEN_NONCES + 10])) == NUM_TOKEN_NONCES + 10
    assert all(nonce < NUM_TOKEN_NONCES for nonce in nonces[:NUM_TOKEN_NONCES])
    assert nonces[:NUM_TOKEN_NONCES] != nonces[NUM_TOKEN_NONCES + 10 :][:NUM_TOKEN_NONCES]


@pytest.mark.parametrize("which", ["model", "masks"])
def test_rows_of_a_batch_equal_the_same_rows_alone(which: str, model: Model, masks: Model) -> None:
    writer = {"model": model, "masks": masks}[which]
    length = {"model": 70, "masks": 20}[which]
    whole = asked("The old", "", "A young crow sang to the café. " * 4, "狐", count=2, seed=3, length=length)
    together = run_request(writer, whole)
    for row in range(len(whole.prompts)):
        alone = replace(whole, prompts=whole.prompts[row : row + 1], nonces=whole.nonces[row : row + 1])
        assert run_request(writer, alone).values == together.values[row : row + 1]
    for portion, first in zip(split_batches(whole, 3), (0, 3, 6), strict=True):
        assert run_request(writer, portion).values == together.values[first : first + 3]


def test_a_draft_only_grows(model: Model) -> None:
    """Nothing that was shown is taken back: no half characters, no beginnings of a stop string."""
    shown = [""] * 4
    for draft in generate(
        model, asked("My naïve", count=4, seed=1, stops=("boat.", "king"), temperature=1.3, length=150)
    ):
        assert all(text.startswith(before) for text, before in zip(draft.values, shown, strict=True))
        shown = list(draft.values)


def test_no_draft_ends_in_a_broken_character(model: Model) -> None:
    *drafts, last = generate(model, asked("A young crow saw a ", "The 狐 followed ", seed=2, count=4, length=120))
    assert not any(text.endswith("\ufffd") for draft in drafts for text in draft.values)
    assert set("".join(last.continuations)) & set("ëï狐é😀"), "characters of several bytes were written"


def test_stop_strings_end_an_output_and_are_not_part_of_it(model: Model) -> None:
    free = run_request(model, asked("The old king", seed=5, length=200, count=4))
    bounded = run_request(model, asked("The old king", seed=5, length=200, count=4, stops=("the ", ".\n")))
    for text, whole in zip(bounded.continuations, free.continuations, strict=True):
        cut = min(at for at in (whole.find("the "), whole.find(".\n")) if at >= 0)
        assert text == whole[:cut]
    assert all(bounded.is_finished)


def test_the_beginning_of_a_stop_string_is_not_shown_before_it_is_decided(model: Model) -> None:
    free = run_request(model, asked("", seed=11, length=300))
    stop = free.continuations[0][30:38]
    assert len(stop) == 8, "this seed writes more than that"
    for draft in generate(model, asked("", seed=11, length=300, stops=(stop,))):
        assert not any(draft.continuations[0].endswith(stop[:n]) for n in range(1, len(stop)))
    assert draft.continuations[0] == free.continuations[0].assign_split(stop)[0]


def test_the_beginning_of_a_stop_string_at_the_end_is_text(model: Model) -> None:
    free = run_request(model, asked("", seed=11, length=40))
    assert run_request(model, asked("", seed=11, length=40, stops=(free.continuations[0][-1] + "~~~",))) == free


def test_a_row_that_ended_costs_no_more_steps(model: Model) -> None:
    drafts = list(generate(model, asked("The old king", seed=5, length=2000, stops=(" ",))))
    assert len(drafts) < 50


@pytest.mark.parametrize("length", [1, 7, 47, 48, 49, 200])
def test_the_length_is_kept_also_beyond_what_the_network_reads(model: Model, length: int) -> None:
    draft = run_request(model, asked("x", length=length, temperature=1.0))
    size = len(model.codec.encode(draft.continuations[0]))
    assert size <= length or "\ufffd" in draft.continuations[0]
    assert size > length / 2 or any(draft.is_finished)


def test_of_a_prompt_that_is_too_long_the_end_counts(model: Model) -> None:
    tail = "Nobody wept over the sea.\nThe old king saw"
    long, longer = "y" * 300 + tail * 2, "z" * 500 + tail * 2
    assert len(model.codec.encode(tail * 2)) > model.design.context_length
    first, second = run_request(model, asked(long, seed=4)), run_request(model, asked(longer, seed=4))
    assert first.continuations == second.continuations
    assert first.values[0].startswith(long)


def test_special_symbols_are_text_in_a_prompt_and_never_written(model: Model) -> None:
    draft = run_request(model, asked("<|user|><|stop|>", temperature=3.0, length=100, count=4))
    assert all(text.startswith("<|user|><|stop|>") for text in draft.values)
    assert isinstance(model.codec.space, TokenSpace)
    banned = list_suppressed_tokens(model.codec, [model.codec.space.eos])
    assert len(banned) == 4
    assert not any(0 <= symbol < 256 for symbol in banned)


@pytest.mark.parametrize(
    ("controls", "words"),
    [
        ({"temprature": 1}, "has no setting 'temprature'. It has: length, min_p, repetition_penalty, temperature,"),
        ({"suppressed_tokens": (1,)}, "has no setting 'suppressed_tokens'"),
        ({"temperature": -1.0}, "temperature must be 0, or from 0.001 to 1000, got -1.0."),
        ({"top_p": 7.0}, "top_p must be from 0 to 1"),
        ({"min_p": -0.5}, "min_p must be from 0"),
        ({"repetition_penalty": 0}, "repetition_penalty must be above 0"),
        ({"top_k": "many"}, "generate.top_k: Input should be a valid integer"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_in_words_that_help(model: Model, controls: dict, words: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        run_request(model, asked(**controls))
    assert words in str(caught.value)


@pytest.mark.parametrize(("prompts", "count", "seed"), [(("x",), 0, 0), ((), 1, 0), (("x",), -3, 0), (("x",), 1, -1)])
def test_nothing_to_write_is_refused(prompts: tuple[str, ...], count: int, seed: int) -> None:
    with pytest.raises(ValueError, match=r"nothing to write|whole number from 0 on"):
        build_request(prompts, count, seed, (), {})


def test_the_likeliest_symbols_need_no_chance(model: Model) -> None:
    once = run_request(model, asked("The", seed=1, temperature=0.0))
    assert once.values == run_request(model, asked("The", seed=2, temperature=0.0)).values
    assert once.values == run_request(model, asked("The", seed=3, top_k=1)).values


def test_symbols_to_go_on_from_are_read_as_they_are(model: Model) -> None:
    text = asked("Zoë", "The old", seed=5)
    space = model.codec.space
    assert isinstance(space, TokenSpace)
    rows = tuple((space.bos, *model.codec.encode(prompt).tolist()) for prompt in text.prompts)
    named = replace(text, prompts=("first", "second"), ids=rows)
    assert run_request(model, named).continuations == run_request(model, text).continuations
    assert run_request(model, named).values == run_request(model, named).continuations, (
        "what stands there already is no output"
    )
    assert [portion.prompt_ids for portion in split_batches(named, 1)] == [rows[:1], rows[1:]]


@pytest.mark.parametrize("row", [(), (-1,), (5, 10_000)])
def test_symbols_that_are_none_are_refused(model: Model, row: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="numbers from 0 to 260, one or more"):
        run_request(model, replace(asked(""), ids=(row,)))


def test_symbols_can_end_an_output(model: Model) -> None:
    free = run_request(model, asked("The old king", seed=5, length=200))
    bounded = run_request(model, replace(asked("The old king", seed=5, length=200), ends=tuple(b".")))
    assert bounded.continuations[0] == free.continuations[0].assign_split(".")[0]
    assert bounded.is_finished == (True,)
    assert bounded.num_tokens == (len(bounded.continuations[0].encode()),)


def test_a_draft_that_is_enough_is_made_again_by_the_request_cut_short(model: Model) -> None:
    whole = asked("Zoë", seed=3, length=80, temperature=1.2)
    for most in range(1, 24):
        asks = iter([False] * (most - 1) + [True])
        *_, last = generate(model, whole, lambda asks=asks: next(asks))
        assert last.num_tokens == (most,)
        assert run_request(model, engine.truncate_request(whole, last)) == last


def test_what_ended_by_itself_is_not_cut_short(model: Model) -> None:
    whole = asked("The old king", seed=5, length=200, stops=(".",))
    assert engine.truncate_request(whole, run_request(model, whole)) == whole


# outputs in the store


def test_an_output_replays_to_the_same_bytes(workspace: Workspace) -> None:
    model = load_model(workspace, "tales")
    made = asked("Zoë", "", seed=9, count=2, temperature=1.1, stops=("~",), top_p=0.9)
    draft = run_request(model, made)
    ids = store_outputs(workspace, model, made, draft)
    for output, text, prompt in zip(ids, draft.values, made.prompts, strict=True):
        path, item = replay_output(workspace, output)
        assert item == text
        assert path.read_text(encoding="utf-8").rstrip("\n") == text.rstrip("\n")
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        assert record["model_digest"] == workspace.get_model("tales").digest
        assert record["prompt"] == prompt
        assert record["request"]["controls"]["top_p"] == 0.9
        assert record["request"]["nonces"][record["row"]] == made.nonces[record["row"]]


@pytest.mark.parametrize("precision", ["bfloat16", "int8", "int4"])
def test_a_replay_computes_in_the_precision_of_the_output(workspace: Workspace, model: Model, precision: str) -> None:
    if precision in precisions.BITS and native.get_unavailable_reason():
        pytest.skip(native.get_unavailable_reason())
    design = replace(model.design, network_settings={"width": 32, "depth": 1, "heads": 1, "tied": False})
    parts = build_networks(design, model.objective)
    torch.nn.init.normal_(parts["model"].get_parameter("head.weight"), generator=torch.Generator().manual_seed(0))
    with workspace.create_model("noise") as folder:
        save_model(replace(model, parts=parts, design=design), folder, design.to_tables(), {})
    writer = load_model(workspace, "noise", (), precision)
    made = asked("Zoë", "My", seed=9, count=2, temperature=1.1)
    draft = run_request(writer, made)
    for output, text in zip(store_outputs(workspace, writer, made, draft), draft.values, strict=True):
        assert replay_output(workspace, output)[1] == text
        assert json.loads(workspace.get_output(output)[0].with_suffix(".json").read_text())["precision"] == precision


@pytest.fixture
def output(workspace: Workspace) -> str:
    model = load_model(workspace, "tales")
    made = asked("Zoë", seed=9)
    (output,) = store_outputs(workspace, model, made, run_request(model, made))
    return output


def test_a_changed_file_does_not_replay(workspace: Workspace, output: str) -> None:
    path, _ = workspace.get_output(output)
    path.write_text("something else")
    with pytest.raises(ValueError, match="was changed since it was written"):
        replay_output(workspace, output)


def test_another_model_of_the_same_name_does_not_replay(workspace: Workspace, output: str) -> None:
    shutil.rmtree(workspace.root / "models/tales")
    with pytest.raises(ValueError, match="There is no model 'tales'"):
        replay_output(workspace, output)
    shutil.copytree(workspace.root / "models/masks", workspace.root / "models/tales")
    with pytest.raises(ValueError, match=f"tales/1 is not the model that wrote {output}: its digest differs"):
        replay_output(workspace, output)


def test_a_replay_that_differs_names_what_changed(
    workspace: Workspace, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = workspace.get_output(output)[0].with_suffix(".json")
    facts = json.loads(record.read_text())
    facts["request"]["nonces"] = [facts["request"]["nonces"][0] + 1]
    record.write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=r"does not give the stored bytes\. Genloom itself may have"):
        replay_output(workspace, output)
    facts["machine"]["cpu"] = "ABACUS"
    record.write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=r"The machine changed \(cpu: ABACUS → "):
        replay_output(workspace, output)


def test_a_record_of_something_else_does_not_replay(workspace: Workspace) -> None:
    output = workspace.save_output("by hand", ".txt", {"model": "tales/1"})
    with pytest.raises(ValueError, match="does not say how"):
        replay_output(workspace, output)
    with pytest.raises(ValueError, match="There is no output 'nonsense'"):
        replay_output(workspace, "nonsense")


# the same engine for a model that writes here and there


def test_masked_drafts_show_what_is_still_hidden(masks: Model) -> None:
    drafts = list(generate(masks, asked("The old", length=16, seed=1)))
    assert drafts[0].continuations[0].count("·") >= 14
    counts = [draft.continuations[0].count("·") for draft in drafts]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 0
    assert drafts[-1].values[0] == "The old" + drafts[-1].continuations[0]
    assert run_request(masks, asked("The old", length=16, seed=1)) == drafts[-1]


def test_masked_stop_strings_wait_until_all_before_them_is_written(masks: Model) -> None:
    free = run_request(masks, asked("The old", length=24, seed=1, count=6))
    bounded = run_request(masks, asked("The old", length=24, seed=1, count=6, stops=("e",)))
    assert bounded.continuations == tuple(text.assign_split("e")[0] for text in free.continuations)


def test_a_masked_model_says_how_much_it_sees(masks: Model) -> None:
    with pytest.raises(ValueError, match="sees 48 symbols at once, prompt included: choose a length below 48"):
        run_request(masks, asked("x", length=48))
    half = run_request(masks, build_request(("x" * 100,), 1, 0, (), {"length": None}))
    assert len(masks.codec.encode(half.continuations[0])) <= 24 or "\ufffd" in half.continuations[0]
    with pytest.raises(ValueError, match=r"'masked' has no setting 'top_k'\. It has: length, order, steps, temp"):
        run_request(masks, asked("x", top_k=3, length=8))
