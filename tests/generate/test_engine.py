"""The engine: outputs do not depend on the batch, are stored with all that a replay needs, and replay."""

import json
import shlex
import shutil
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genloom.codecs import bytes as codec_bytes
from genloom.generate import engine, sampling_params
from genloom.generate.decode import TextDecoder
from genloom.generate.engine import (
    Request,
    build_request,
    generate,
    run_request,
    split_batches,
)
from genloom.generate.output_records import regenerate_output, replay_output, store_outputs
from genloom.generate.token_prompts import list_suppressed_tokens
from genloom.model import Model, build_networks, load_model, save_model
from genloom.networks import precision as precisions
from genloom.networks.native import build as native
from genloom.settings import option
from genloom.store.workspace import Workspace
from genloom.types import TokenSpace
from tests.errors import raises_code


@pytest.fixture(scope="module")
def model(trained_home: Workspace) -> Model:
    return load_model(trained_home, "tales")


@pytest.fixture(scope="module")
def masks(trained_home: Workspace) -> Model:
    return load_model(trained_home, "masks")


@pytest.fixture
def workspace(trained_home: Workspace, tmp_path: Path) -> Workspace:
    """A copy with the models only, to store outputs in and to damage."""
    shutil.copytree(trained_home.root / "models", tmp_path / "models")
    return Workspace(tmp_path)


def make_request(*prompts: str, seed: int = 0, count: int = 1, stop: tuple[str, ...] = (), **params: Any) -> Request:
    return build_request(prompts or ("",), count, seed, stop, {"max_tokens": 60, **params})


def test_a_model_that_learned_tales_writes_tales(model: Model) -> None:
    draft = run_request(model, make_request("Zoë", count=4, temperature=0.5, max_tokens=200))
    assert all(text.startswith("Zoë") for text in draft.values)
    assert all(text == "Zoë" + written for text, written in zip(draft.values, draft.continuations, strict=True))
    words = " ".join(draft.continuations).split()
    known = set(
        " ".join(["saw sang to forgot followed wrote for wept over the sea. a red boat. old king young"]).split()
    )
    assert sum(word in known for word in words) > len(words) / 4


def test_a_seed_makes_outputs_reproducible_and_another_seed_changes_them(model: Model) -> None:
    first, second = run_request(model, make_request(count=3, seed=7)), run_request(model, make_request(count=3, seed=7))
    assert first == second
    assert len(set(first.values)) == 3
    assert not set(first.values) & set(run_request(model, make_request(count=3, seed=8)).values)


def test_nonces_never_repeat() -> None:
    """Neither between requests without a seed, nor between rows and prompts, also of the same text."""
    assert len({build_request(["x"], 1, None, (), {}).nonces for _ in range(2000)}) == 2000
    nonces = build_request(["a", "b", "a"], 2000, 0, (), {}).nonces
    assert len(set(nonces)) == 6000
    assert max(nonces) < 2**53, "every reader of JSON keeps them exact"


def test_the_nonces_of_a_prompt_do_not_depend_on_the_prompts_beside_it() -> None:
    assert build_request(["a", "b"], 3, 5, (), {}).nonces[3:] == build_request(["b"], 3, 5, (), {}).nonces


def test_two_prompts_of_one_seed_share_no_phrases(model: Model) -> None:
    """The noise of a token depends on the tokens before it: with the same nonce the texts would meet and stay equal."""

    def write(prompt: str) -> str:
        request = make_request(prompt, seed=11, temperature=2.0, max_tokens=300)
        return str(run_request(model, request).continuations[0])

    texts = [write(prompt) for prompt in ("The rain", "A good friend", "My king", "Zoë")]
    for first, second in combinations(texts, 2):
        shared = [first[i : i + 20] for i in range(len(first) - 19) if first[i : i + 20] in second]
        assert not shared


@pytest.mark.parametrize("which", ["model", "masks"])
def test_rows_of_a_batch_equal_the_same_rows_alone(which: str, model: Model, masks: Model) -> None:
    writer = {"model": model, "masks": masks}[which]
    length = {"model": 70, "masks": 20}[which]
    whole = make_request("The old", "", "A young crow sang to the café. " * 4, "狐", count=2, seed=3, max_tokens=length)
    together = run_request(writer, whole)
    for row in range(len(whole.prompts)):
        alone = replace(whole, prompts=whole.prompts[row : row + 1], nonces=whole.nonces[row : row + 1])
        assert run_request(writer, alone).values == together.values[row : row + 1]
    for batch, first in zip(split_batches(whole, 3), (0, 3, 6), strict=True):
        assert run_request(writer, batch).values == together.values[first : first + 3]


def test_a_draft_only_grows(model: Model) -> None:
    """Nothing that was shown is taken back: no incomplete characters, no beginnings of a stop string."""
    shown = [""] * 4
    for draft in generate(
        model, make_request("My naïve", count=4, seed=1, stop=("boat.", "king"), temperature=1.3, max_tokens=150)
    ):
        assert all(text.startswith(before) for text, before in zip(draft.values, shown, strict=True))
        shown = list(draft.values)


def test_no_draft_ends_in_a_broken_character(model: Model) -> None:
    *drafts, last = generate(
        model, make_request("A young crow saw a ", "The 狐 followed ", seed=2, count=4, max_tokens=120)
    )
    assert not any(text.endswith("\ufffd") for draft in drafts for text in draft.values)
    assert set("".join(last.continuations)) & set("ëï狐é😀"), "characters of several bytes were written"


def test_stop_strings_end_an_output_and_are_not_part_of_it(model: Model) -> None:
    free = run_request(model, make_request("The old king", seed=5, max_tokens=200, count=4))
    bounded = run_request(model, make_request("The old king", seed=5, max_tokens=200, count=4, stop=("the ", ".\n")))
    for text, whole in zip(bounded.continuations, free.continuations, strict=True):
        cut = min(at for at in (whole.find("the "), whole.find(".\n")) if at >= 0)
        assert text == whole[:cut]
    assert all(bounded.is_finished)


def test_the_beginning_of_a_stop_string_is_held_back(model: Model) -> None:
    free = run_request(model, make_request("", seed=12, max_tokens=300))
    stop = free.continuations[0][30:38]
    assert len(stop) == 8, "this seed writes more than that"
    for draft in generate(model, make_request("", seed=12, max_tokens=300, stop=(stop,))):
        assert not any(draft.continuations[0].endswith(stop[:n]) for n in range(1, len(stop)))
    assert draft.continuations[0] == free.continuations[0].split(stop)[0]


def test_the_beginning_of_a_stop_string_at_the_end_is_output(model: Model) -> None:
    free = run_request(model, make_request("", seed=11, max_tokens=40))
    assert (
        run_request(model, make_request("", seed=11, max_tokens=40, stop=(free.continuations[0][-1] + "~~~",))) == free
    )


def test_finished_rows_take_no_more_steps(model: Model) -> None:
    drafts = list(generate(model, make_request("The old king", seed=5, max_tokens=2000, stop=(" ",))))
    assert len(drafts) < 50


@pytest.mark.parametrize("length", [1, 7, 47, 48, 49, 200])
def test_max_tokens_holds_even_beyond_the_context(model: Model, length: int) -> None:
    draft = run_request(model, make_request("x", max_tokens=length, temperature=1.0))
    size = len(model.codec.encode(draft.continuations[0]))
    assert size <= length or "\ufffd" in draft.continuations[0]
    assert size > length / 2 or any(draft.is_finished)


def test_a_long_prompt_is_truncated_from_the_left(model: Model) -> None:
    tail = "Nobody wept over the sea.\nThe old king saw"
    long, longer = "y" * 300 + tail * 2, "z" * 500 + tail * 2
    assert len(model.codec.encode(tail * 2)) > model.design.context_length
    request = make_request(long, seed=4)
    first, second = run_request(model, request), run_request(model, replace(request, prompts=(longer,)))
    assert first.continuations == second.continuations
    assert first.values[0].startswith(long)


def test_special_tokens_are_text_in_a_prompt_and_never_generated(model: Model) -> None:
    draft = run_request(model, make_request("<|user|><|stop|>", temperature=3.0, max_tokens=100, count=4))
    assert all(text.startswith("<|user|><|stop|>") for text in draft.values)
    assert isinstance(model.codec.space, TokenSpace)
    suppressed = list_suppressed_tokens(model.codec, [model.codec.space.eos])
    assert len(suppressed) == 4
    assert not any(0 <= token < 256 for token in suppressed)


@pytest.mark.parametrize(
    ("params", "code", "setting"),
    [
        ({"temprature": 1}, "generate.unknown_param", "temprature"),
        ({"suppressed_tokens": (1,)}, "generate.unknown_param", "suppressed_tokens"),
        ({"temperature": -1.0}, "", "temperature"),
        ({"top_p": 7.0}, "", "top_p"),
        ({"min_p": -0.5}, "", "min_p"),
        ({"repetition_penalty": 0}, "", "repetition_penalty"),
        ({"top_k": "many"}, "core.bad_setting_value", "top_k"),
    ],
)
def test_an_invalid_setting_is_refused_by_name(model: Model, params: dict, code: str, setting: str) -> None:
    with pytest.raises(ValueError, match=setting) as caught:
        run_request(model, make_request(**params))
    assert code in ("", getattr(caught.value, "code", ""))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("prompts", "count"), [(("x",), 0), ((), 1), (("x",), -3)])
def test_an_empty_request_is_refused(prompts: tuple[str, ...], count: int) -> None:
    with raises_code("generate.nothing_to_generate", count=count, num_prompts=len(prompts)):
        build_request(prompts, count, 0, (), {})


def test_a_negative_seed_is_refused() -> None:
    with raises_code("generate.bad_seed", seed=-1):
        build_request(["x"], 1, -1, (), {})


def test_greedy_decoding_does_not_depend_on_the_seed(model: Model) -> None:
    once = run_request(model, make_request("The", seed=1, temperature=0.0))
    assert once.values == run_request(model, make_request("The", seed=2, temperature=0.0)).values
    assert once.values == run_request(model, make_request("The", seed=3, top_k=1)).values


def test_prompt_ids_replace_the_prompt(model: Model) -> None:
    text = make_request("Zoë", "The old", seed=5)
    space = model.codec.space
    assert isinstance(space, TokenSpace)
    rows = tuple((space.bos, *model.codec.encode(prompt).tolist()) for prompt in text.prompts)
    tokenized = replace(text, prompts=("first", "second"), prompt_ids=rows)
    assert run_request(model, tokenized).continuations == run_request(model, text).continuations
    assert run_request(model, tokenized).values == run_request(model, tokenized).continuations, (
        "prompt_ids are not part of the value"
    )
    assert [batch.prompt_ids for batch in split_batches(tokenized, 1)] == [rows[:1], rows[1:]]


@pytest.mark.parametrize("row", [(), (-1,), (5, 10_000)])
def test_invalid_prompt_ids_are_refused(model: Model, row: tuple[int, ...]) -> None:
    with raises_code("generate.bad_prompt_ids", max_id=260):
        run_request(model, replace(make_request(""), prompt_ids=(row,)))


def test_eos_ids_end_an_output(model: Model) -> None:
    free = run_request(model, make_request("The old king", seed=5, max_tokens=200))
    bounded = run_request(model, replace(make_request("The old king", seed=5, max_tokens=200), eos_ids=tuple(b".")))
    assert bounded.continuations[0] == free.continuations[0].split(".")[0]
    assert bounded.is_finished == (True,)
    assert bounded.num_tokens == (len(bounded.continuations[0].encode()),)


def test_the_truncated_request_reproduces_a_stopped_draft(model: Model) -> None:
    whole = make_request("Zoë", seed=3, max_tokens=80, temperature=1.2)
    for num_tokens in range(1, 24):
        answers = iter([False] * (num_tokens - 1) + [True])
        *_, last = generate(model, whole, lambda answers=answers: next(answers))
        assert last.num_tokens == (num_tokens,)
        assert run_request(model, engine.truncate_request(whole, last)) == last


def test_a_finished_request_is_not_truncated(model: Model) -> None:
    whole = make_request("The old king", seed=5, max_tokens=200, stop=(".",))
    assert engine.truncate_request(whole, run_request(model, whole)) == whole


# stored outputs


def test_an_output_replays_to_the_same_bytes(workspace: Workspace) -> None:
    model = load_model(workspace, "tales")
    request = make_request("Zoë", "", seed=9, count=2, temperature=1.1, stop=("~",), top_p=0.9)
    draft = run_request(model, request)
    ids = store_outputs(workspace, model, request, draft)
    for output, text, prompt in zip(ids, draft.values, request.prompts, strict=True):
        path, item = replay_output(workspace, output)
        assert item == text
        assert path.read_text(encoding="utf-8").rstrip("\n") == text.rstrip("\n")
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        assert record["model_digest"] == workspace.get_model("tales").digest
        assert record["prompt"] == prompt
        assert record["request"]["params"]["top_p"] == 0.9
        assert record["request"]["nonces"][record["row"]] == request.nonces[record["row"]]


@pytest.mark.parametrize("precision", ["bfloat16", "int8", "int4"])
def test_a_replay_computes_in_the_precision_of_the_output(workspace: Workspace, model: Model, precision: str) -> None:
    if precision in precisions.BITS and native.get_unavailable_reason():
        pytest.skip(native.get_unavailable_reason())
    design = replace(model.design, network_settings={"width": 32, "depth": 1, "heads": 1, "tie_embeddings": False})
    parts = build_networks(design, model.objective)
    torch.nn.init.normal_(parts["model"].get_parameter("head.weight"), generator=torch.Generator().manual_seed(0))
    with workspace.create_model("noise") as folder:
        save_model(replace(model, parts=parts, design=design), folder, design.to_tables(), {})
    writer = load_model(workspace, "noise", (), precision)
    request = make_request("Zoë", "My", seed=9, count=2, temperature=1.1)
    draft = run_request(writer, request)
    for output, text in zip(store_outputs(workspace, writer, request, draft), draft.values, strict=True):
        assert replay_output(workspace, output)[1] == text
        assert json.loads(workspace.get_output(output)[0].with_suffix(".json").read_text())["precision"] == precision


@pytest.fixture
def output(workspace: Workspace) -> str:
    model = load_model(workspace, "tales")
    request = make_request("Zoë", seed=9)
    (output,) = store_outputs(workspace, model, request, run_request(model, request))
    return output


def test_a_record_with_old_names_replays(workspace: Workspace) -> None:
    model = load_model(workspace, "tales")
    request = replace(make_request("Zoë", seed=9, max_tokens=20, stop=("~",)), prompt_ids=((1, 90),), eos_ids=(46,))
    (output,) = store_outputs(workspace, model, request, run_request(model, request))
    path = workspace.get_output(output)[0].with_suffix(".json")
    record = json.loads(path.read_text())
    del record["digest"]  # which earlier versions did not write
    old_names = {"stop": "stops", "params": "controls", "prompt_ids": "ids", "eos_ids": "ends"}
    record["request"] = {old_names.get(name, name): value for name, value in record["request"].items()}
    record["request"]["controls"] = {"length": record["request"]["controls"].pop("max_tokens")}
    path.write_text(json.dumps(record))
    stored_path, value = replay_output(workspace, output)
    assert stored_path.read_text() == value


def test_a_changed_file_is_not_replayed(workspace: Workspace, output: str) -> None:
    path, _ = workspace.get_output(output)
    data = path.read_bytes()
    path.write_text("something else")
    with raises_code("store.output_changed", path=path) as error:
        replay_output(workspace, output)
    assert f"--replay {output} --out {shlex.quote(str(path))}" in error.value.fields["cure"]
    assert regenerate_output(workspace, output)[1] == data


def test_another_model_of_the_same_name_is_refused(workspace: Workspace, output: str) -> None:
    shutil.rmtree(workspace.root / "models/tales")
    with pytest.raises(ValueError, match="'tales'"):
        replay_output(workspace, output)
    shutil.copytree(workspace.root / "models/masks", workspace.root / "models/tales")
    with raises_code("generate.model_changed", model="tales/1", output=output):
        replay_output(workspace, output)


def test_a_differing_replay_names_what_changed(
    workspace: Workspace, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = workspace.get_output(output)[0].with_suffix(".json")
    metadata = json.loads(record.read_text())
    del metadata["digest"]
    metadata["request"]["nonces"] = [metadata["request"]["nonces"][0] + 1]
    record.write_text(json.dumps(metadata))
    with raises_code("generate.replay_differs", output=output):
        replay_output(workspace, output)
    metadata["machine"]["cpu"] = "ABACUS"
    record.write_text(json.dumps(metadata))
    with raises_code("generate.replay_differs_by_machine", output=output) as caught:
        replay_output(workspace, output)
    assert caught.value.fields["changes"].startswith("cpu: ABACUS → ")


def test_a_record_without_a_request_is_refused(workspace: Workspace) -> None:
    output = workspace.save_output("by hand", ".txt", {"model": "tales/1"})
    with raises_code("generate.no_replay_record", output=output):
        replay_output(workspace, output)
    with pytest.raises(ValueError, match="'nonsense'"):
        replay_output(workspace, "nonsense")


# masked models


def test_masked_drafts_show_what_is_still_masked(masks: Model) -> None:
    drafts = list(generate(masks, make_request("The old", max_tokens=16, seed=1)))
    assert drafts[0].continuations[0].count("·") >= 14
    counts = [draft.continuations[0].count("·") for draft in drafts]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 0
    assert drafts[-1].values[0] == "The old" + drafts[-1].continuations[0]
    assert run_request(masks, make_request("The old", max_tokens=16, seed=1)) == drafts[-1]


def test_masked_stop_strings_need_all_text_before_them(masks: Model) -> None:
    free = run_request(masks, make_request("The old", max_tokens=24, seed=1, count=6))
    bounded = run_request(masks, make_request("The old", max_tokens=24, seed=1, count=6, stop=("e",)))
    assert bounded.continuations == tuple(text.split("e")[0] for text in free.continuations)


def test_a_masked_model_has_a_maximum_length(masks: Model) -> None:
    with raises_code("generate.max_tokens_too_large", context_length=48, max_tokens=48):
        run_request(masks, make_request("x", max_tokens=48))
    half = run_request(masks, build_request(("x" * 100,), 1, 0, (), {"max_tokens": None}))
    assert len(masks.codec.encode(half.continuations[0])) <= 24 or "\ufffd" in half.continuations[0]
    with raises_code("generate.unknown_param", objective="masked", name="top_k"):
        run_request(masks, make_request("x", top_k=3, max_tokens=8))


def test_an_output_of_an_earlier_version_keeps_the_character_that_its_end_cuts() -> None:
    codec, row = codec_bytes.Codec(codec_bytes.Config()), torch.tensor([list("é".encode())[:1]])
    values = [
        TextDecoder(codec, [np.zeros(0, np.int64)], (), (), np.zeros(1, bool), True, keep_partial)(row, True).values
        for keep_partial in (False, True)
    ]
    assert values == [("",), ("\ufffd",)]


def test_what_a_sampler_suggests_counts_where_nothing_is_chosen(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class SamplingParams:
        temperature: float = option(0.5, "Of a plug-in, which suggests nothing.")

    assert sampling_params.add_suggested_params(model, {"temperature": None, "top_k": 3}) == {
        "temperature": 0.8,
        "top_k": 3,
    }
    assert sampling_params.add_suggested_params(model, {"temperature": 1.0}) == {"temperature": 1.0}
    monkeypatch.setattr(sampling_params, "get_params_class", lambda model: SamplingParams)
    assert sampling_params.add_suggested_params(model, {"temperature": None}) == {}
