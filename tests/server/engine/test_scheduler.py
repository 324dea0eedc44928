"""The scheduler: requests in turns, errors of one alone, and cancelled requests that stop within one step."""

import time
from pathlib import Path
from typing import Any

import pytest

from genloom.api.workspace import Workspace
from genloom.generate.output_records import replay_output
from genloom.networks.native import build as native
from genloom.server.engine import Finished, GenerationRequest, Preview, Started, Stored, Text
from genloom.server.engine.messages import pack_request, unpack_error, unpack_event
from genloom.server.engine.scheduler import Scheduler
from genloom.types import Message

QUESTION = (Message("system", "Speak of kings."), Message("user", "Who is there?"))


class Server:
    """What the server would see of a scheduler in this process."""

    def __init__(self, workspace: Workspace):
        self.events: dict[str, list[Any]] = {}
        self.scheduler = Scheduler(workspace, self.take, lambda: None)

    def take(self, table: dict[str, Any]) -> None:
        if table["event"] in ("error", "result", "state"):
            found: Any = unpack_error(table) if table["event"] == "error" else table.get("result")
        else:
            found = unpack_event(table)
        self.events.setdefault(table["id"], []).append(found)

    def submit(self, request: GenerationRequest) -> str:
        self.scheduler.receive({"kind": "generate", **pack_request(request)})
        return request.id

    def wait_for_models(self) -> None:
        while self.scheduler.shelf.loading:
            time.sleep(0.01)
        self.scheduler.receive({"kind": "wake"})

    def run(self) -> None:
        """Work until nothing is left."""
        while self.scheduler.waiting or self.scheduler.has_work:
            self.wait_for_models()
            if self.scheduler.has_work:
                self.scheduler.step()
        self.settle()

    def settle(self) -> None:
        self.scheduler.writer_thread.submit(lambda: None).result()

    def ask(self, kind: str, **values: Any) -> Any:
        self.scheduler.receive({"kind": kind, "id": "ask", **values})
        self.run()
        return self.events.pop("ask")[-1]

    def find(self, id: str, kind: type) -> list[Any]:
        return [event for event in self.events.get(id, []) if isinstance(event, kind)]


@pytest.fixture
def server(engine_workspace: Workspace) -> Server:
    return Server(engine_workspace)


@pytest.fixture(params=["float32", "int8"])
def precision(request: pytest.FixtureRequest) -> str:
    if request.param == "int8" and (reason := native.get_unavailable_reason()):
        pytest.skip(reason)
    return request.param


def test_outputs_of_requests_that_run_together_are_stored_and_replay(server: Server, precision: str) -> None:
    params = {"max_tokens": 12, "temperature": 0.8, "frequency_penalty": 0.3}
    common: dict[str, Any] = {"precision": precision, "params": params, "owner": "ada", "metadata": {"job": "j1"}}
    chat = GenerationRequest("tales", messages=QUESTION, n=2, **common)
    story = GenerationRequest("tales", prompts=("Tale 7\n\nThe",), is_chat=False, stop=("e",), seed=3, **common)
    biased = GenerationRequest("tales", prompts=("The",), is_chat=False, logit_bias={101: 5.0}, **common)
    for request in (chat, story, biased):
        server.submit(request)
    server.run()
    for request in (chat, story, biased):
        started, *_, finished = server.events[request.id]
        stored = server.find(request.id, Stored)
        assert [each.output_id for each in sorted(stored, key=lambda each: each.index)] == started.output_ids
        assert finished.num_tokens == sum(each.num_tokens for each in stored) > 0
        assert finished.num_prompt_tokens == started.num_prompt_tokens
        for each in stored:
            streamed = "".join(text.text for text in server.find(request.id, Text) if text.index == each.index)
            output = server.scheduler.workspace.output(each.output_id)
            assert each.text == streamed == output.continuation
            assert (output.record["owner"], output.record["job"]) == ("ada", "j1")
            replay_output(server.scheduler.workspace.store, each.output_id)
    assert [each.finish_reason for each in server.find(chat.id, Stored)] == ["length"] * 2
    record = server.scheduler.workspace.output(server.find(chat.id, Stored)[0].output_id).record
    assert [message["role"] for message in record["conversation"]] == ["system", "user"]
    assert not list(server.scheduler.workspace.folder.glob("outputs/*/*.reserved"))


def test_a_seed_gives_what_the_command_line_gives(server: Server) -> None:
    request = GenerationRequest("tales", prompts=("The old",), is_chat=False, seed=5, n=2, params={"max_tokens": 9})
    server.submit(request)
    server.run()
    outputs = server.scheduler.workspace.model("tales").generate("The old", seed=5, n=2, is_chat=False, max_tokens=9)
    stored = sorted(server.find(request.id, Stored), key=lambda each: each.index)
    assert [each.text for each in stored] == [output.continuation for output in outputs]


def test_a_job_that_is_made_again_leaves_out_what_is_stored(server: Server) -> None:
    first = GenerationRequest("tales", prompts=("The old",), is_chat=False, seed=5, n=3, params={"max_tokens": 5})
    server.submit(first)
    server.run()
    stored = {each.index: each for each in server.find(first.id, Stored)}
    nonce = server.scheduler.workspace.output(stored[1].output_id).nonce
    assert nonce is not None
    again = GenerationRequest(
        "tales", prompts=("The old",), is_chat=False, seed=5, n=3, params={"max_tokens": 5}, skip_nonces=(nonce,)
    )
    server.submit(again)
    server.run()
    texts = {each.index: each.text for each in server.find(again.id, Stored)}
    assert texts == {index: stored[index].text for index in (0, 2)}


@pytest.mark.parametrize("num_steps", [0, 1, 3])
def test_a_cancelled_request_leaves_before_the_next_step(server: Server, precision: str, num_steps: int) -> None:
    """Also while its prompt is read: that of 400 tokens takes more than one step beside another text."""
    other = server.submit(
        GenerationRequest(
            "tales",
            prompts=("The",),
            is_chat=False,
            precision=precision,
            logit_bias={256: -100.0},  # it does not end
            params={"max_tokens": 40},
        )
    )
    server.wait_for_models()
    server.scheduler.step()
    gone = GenerationRequest(
        "tales", prompts=("x" * 400,), is_chat=False, precision=precision, params={"max_tokens": 90}, n=2
    )
    server.submit(gone)
    for _ in range(num_steps):
        server.scheduler.step()
    server.scheduler.receive({"kind": "cancel", "id": gone.id})
    job: Any = server.scheduler.text_jobs[0]
    assert len(server.scheduler.text_jobs) == 1
    assert job.id == other
    assert len(job.loaded.batch.sequences) == 1, "its rows are free at once"
    server.run()
    assert not server.find(gone.id, Stored)
    assert server.find(gone.id, Finished)
    assert server.find(other, Stored)[0].num_tokens == 40
    assert not list(server.scheduler.workspace.folder.glob("outputs/*/*.reserved"))


def test_a_chat_that_is_stopped_keeps_what_was_written(server: Server, precision: str) -> None:
    request = GenerationRequest(
        "tales", messages=QUESTION, precision=precision, keeps_partial=True, params={"max_tokens": 90}
    )
    server.submit(request)
    server.wait_for_models()
    while sum(len(each.text) for each in server.find(request.id, Text)) < 5:
        server.scheduler.step()
    server.scheduler.receive({"kind": "cancel", "id": request.id})
    server.settle()
    (stored,) = server.find(request.id, Stored)
    assert (stored.finish_reason, len(stored.text) >= 5) == ("cancelled", True)
    replay_output(server.scheduler.workspace.store, stored.output_id)


def test_images_are_made_between_the_tokens_of_texts(server: Server) -> None:
    image = GenerationRequest("blots", prompts=("a red boat",), n=2, seed=1, num_previews=2, params={"steps": 8})
    text = GenerationRequest("tales", prompts=("The",), is_chat=False, params={"max_tokens": 60})
    server.submit(image)
    server.submit(text)
    server.run()
    server.run()
    assert len(server.find(image.id, Preview)) >= 2
    assert server.find(image.id, Preview)[0].data.startswith(b"\x89PNG")
    assert len(server.find(image.id, Stored)) == 2
    for each in server.find(image.id, Stored):
        replay_output(server.scheduler.workspace.store, each.output_id)


def test_an_image_that_is_cancelled_is_not_stored(server: Server) -> None:
    image = GenerationRequest("blots", prompts=("a red boat",), params={"steps": 50})
    server.submit(image)
    server.wait_for_models()
    server.scheduler.step()
    server.scheduler.receive({"kind": "cancel", "id": image.id})
    assert not server.scheduler.has_work
    server.settle()
    assert not server.find(image.id, Stored)
    assert server.find(image.id, Finished)
    assert not list(server.scheduler.workspace.folder.glob("outputs/*/*.reserved"))


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        ("store.unknown_name_near", {"model": "tale"}),
        ("generate.prompt_too_long", {"prompts": ("x" * 600,), "is_chat": False}),
        ("generate.prompt_too_long", {"messages": (Message("user", "x" * 600),)}),
        ("generate.unknown_param", {"params": {"steps": 3}}),
        ("core.bad_setting_value", {"params": {"temperature": -1.0}}),
        ("generate.bad_grammar", {"grammar": '{"grammars": [{"json_schema": {"type": "strin"}}]}'}),
        ("generate.bad_logit_bias", {"logit_bias": {5000: 1.0}}),
        ("server.file_expected", {"model": "blots", "params": {"image": "/etc/passwd", "strength": 0.5}}),
        ("server.no_logprobs", {"model": "masks", "num_logprobs": 1}),
        ("generate.cannot_chat_kind", {"model": "blots", "messages": QUESTION}),
    ],
)
def test_a_request_that_cannot_be_met_ends_alone(server: Server, code: str, fields: dict[str, Any]) -> None:
    good = GenerationRequest("tales", prompts=("The",), is_chat=False, params={"max_tokens": 4})
    values: dict[str, Any] = {"model": "tales", "prompts": ("The",), "is_chat": False, **fields}
    bad = GenerationRequest(**values)
    server.submit(good)
    server.submit(bad)
    server.run()
    assert server.find(good.id, Stored)
    (error,) = [each for each in server.events[bad.id] if isinstance(each, Exception)]
    assert error.code == code
    assert not server.find(bad.id, Started)
    assert not list(server.scheduler.workspace.folder.glob("outputs/*/*.reserved"))


def test_a_file_that_the_server_resolved_is_read(server: Server, tmp_path: Path) -> None:
    image = GenerationRequest("blots", prompts=("a",), params={"steps": 2})
    server.submit(image)
    server.run()
    path = server.scheduler.workspace.output(server.find(image.id, Stored)[0].output_id).path
    edit = GenerationRequest("blots", prompts=("a",), params={"steps": 2, "image": path, "strength": 0.5})
    server.submit(edit)
    server.run()
    replay_output(server.scheduler.workspace.store, server.find(edit.id, Stored)[0].output_id)


def test_a_format_is_kept_to_whatever_the_model_would_write(server: Server, precision: str) -> None:
    import json

    from genloom.generate.grammar import build_json_grammar

    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 12},
            "age": {"type": "integer", "minimum": 0, "maximum": 150},
        },
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    params = {"max_tokens": 120, "temperature": 1.0}
    request = GenerationRequest(
        "tales", messages=QUESTION, precision=precision, grammar=build_json_grammar(schema), n=3, seed=1, params=params
    )
    server.submit(request)
    server.run()
    for stored in server.find(request.id, Stored):
        assert stored.finish_reason == "stop"
        assert set(json.loads(stored.text)) == {"name", "age"}
        replay_output(server.scheduler.workspace.store, stored.output_id)


def test_log_probabilities_belong_to_the_text(server: Server) -> None:
    request = GenerationRequest(
        "tales",
        prompts=("The old king",),
        is_chat=False,
        num_logprobs=2,
        should_score_prompt=True,
        stop=("a",),
        params={"max_tokens": 30},
    )
    server.submit(request)
    server.run()
    started, (stored,) = server.events[request.id][0], server.find(request.id, Stored)
    found = [each for text in server.find(request.id, Text) for each in text.logprobs]
    assert b"".join(bytes(each.bytes) for each in found).decode() == stored.text
    (prompt,) = started.prompt_logprobs
    assert "".join(each.token for each in prompt) == "The old king"
    assert all(each.logprob is not None and each.logprob <= 0 and len(each.top) == 2 for each in [*prompt, *found])


def test_questions_about_models_are_answered(server: Server) -> None:
    found = server.ask("describe", model="tales")
    assert (found["ref"], found["medium"], found["can_chat"], found["context_length"]) == ("tales/1", "text", True, 512)
    options = {option["name"]: option for option in server.ask("describe", model="blots")["options"]}
    assert (options["image"]["type"], options["steps"]["type"], options["prompt"]["type"]) == ("file", "int", "str")
    vectors = server.ask("embed", model="tales", texts=["the sea", "the sea", "her letters"])["embeddings"]
    assert len(vectors[0]) == 64
    assert vectors[0] == vectors[1] != vectors[2]
    assert sum(x * x for x in vectors[0]) == pytest.approx(1, abs=1e-5)
    words = server.ask("embed", model="minilm", texts=["a cat", "a small cat", "the stock market"])["embeddings"]
    similarities = [sum(x * y for x, y in zip(words[0], other, strict=True)) for other in words[1:]]
    assert similarities[0] > similarities[1] + 0.2
    counted = [{"role": message.role, "content": message.content} for message in QUESTION]
    assert server.ask("count", model="tales", text="the sea")["num_tokens"] == 7
    assert server.ask("count", model="tales", messages=counted)["num_tokens"] > 27


def test_the_model_that_was_used_least_lately_leaves_when_memory_is_needed(server: Server) -> None:
    shelf = server.scheduler.shelf
    for model in ("tales", "masks"):
        server.ask("describe", model=model)
    server.ask("describe", model="tales")
    assert {key[0] for key in shelf.models} == {"tales/1", "masks/1"}
    shelf.max_bytes = sum(each.num_bytes for each in shelf.models.values())
    server.ask("describe", model="blots")
    assert "masks/1" not in {key[0] for key in shelf.models}


def test_values_that_a_medium_withholds_are_replaced_or_left_out(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genloom.generate.selection.MIN_BUDGET", 6)
    monkeypatch.setattr("genloom.generate.selection.OUTPUTS_PER_WANTED", 1)
    screened: list[Any] = []

    def withhold_every_other(value: Any) -> str:
        screened.append(value)
        return "for a test" if len(screened) % 2 else ""

    for screen, num_stored in ((withhold_every_other, 2), (lambda value: "for a test", 0)):
        monkeypatch.setattr("genloom.media.image.screen_value", screen, raising=False)
        request = GenerationRequest("blots", prompts=("a red boat",), n=2, seed=1, params={"steps": 2})
        server.submit(request)
        server.run()
        stored = [each for each in server.find(request.id, Stored) if not each.is_withheld]
        assert (len(stored), len(server.find(request.id, Stored))) == (num_stored, 2)
        for each in stored:
            replay_output(server.scheduler.workspace.store, each.output_id)
        assert server.find(request.id, Finished)
    assert len(screened) > 2
    assert not list(server.scheduler.workspace.folder.glob("outputs/*/*.reserved"))
