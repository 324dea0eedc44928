"""The clients that people use, unchanged: openai, langchain-openai and llm, against the server on its port."""

import asyncio
import json
import math
import os
import signal
import struct
import sys
import warnings
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.server.openai.conftest import RunningServer

QUESTION: Any = [{"role": "user", "content": "Who is there?"}]
RING: Any = {
    "type": "function",
    "function": {
        "name": "ring",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"times": {"enum": [1, 2]}},
            "required": ["times"],
            "additionalProperties": False,
        },
    },
}


class Visitor(BaseModel):
    kind: str
    is_friend: bool


@pytest.fixture
def client(api: RunningServer) -> Any:
    with openai.OpenAI(base_url=api.base_url, api_key=api.key, max_retries=0, timeout=600) as client:
        yield client


def test_openai_streams_the_parts_of_an_answer(client: openai.OpenAI) -> None:
    options: Any = {"model": "tales", "messages": QUESTION, "max_completion_tokens": 90, "seed": 3}
    options["stop"] = ["e", "a", "s", " "]
    with client.chat.completions.stream(**options, stream_options={"include_usage": True}) as stream:
        final: Any = [*stream] and stream.get_final_completion()
    assert final.choices[0].message.role == "assistant"
    assert final.usage is not None
    assert final.usage.completion_tokens < 90
    whole = client.chat.completions.create(**options)
    assert whole.choices[0].message.content == final.choices[0].message.content
    assert whole.id != final.id


def test_openai_calls_functions(client: openai.OpenAI) -> None:
    options: Any = {"model": "tales", "messages": QUESTION, "max_tokens": 300, "tools": [RING], "seed": 1}
    options |= {"tool_choice": "required"}
    with client.chat.completions.stream(**options) as stream:
        final: Any = [*stream] and stream.get_final_completion()
    assert final.choices[0].finish_reason == "tool_calls"
    for call in final.choices[0].message.tool_calls or []:
        assert call.function.name == "ring"
        assert json.loads(call.function.arguments)["times"] in (1, 2)
    parsed = client.chat.completions.parse(**options)
    assert parsed.choices[0].message.tool_calls


def test_openai_parses_structured_answers_on_both_addresses(client: openai.OpenAI) -> None:
    schema = {"kind": {"enum": ["king", "crow"]}, "is_friend": {"type": "boolean"}}
    found = client.chat.completions.create(
        model="tales",
        messages=QUESTION,
        max_tokens=100,
        response_format={
            "type": "json_schema",
            "json_schema": {
                "name": "visitor",
                "schema": {
                    "type": "object",
                    "properties": schema,
                    "required": [*schema],
                    "additionalProperties": False,
                },
            },
        },
    )
    Visitor.model_validate_json(found.choices[0].message.content or "")
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(model="tales", messages=QUESTION, max_tokens=3, response_format=Visitor)
    answer = client.responses.create(
        model="tales", input="Who?", max_output_tokens=60, text={"format": {"type": "json_object"}}
    )
    assert answer.output_text.startswith("{")


def test_openai_follows_the_events_of_a_response(client: openai.OpenAI) -> None:
    text: Any = {"format": {"type": "json_schema", "name": "a", "schema": {"enum": ["a king", "nobody"]}}}
    with client.responses.stream(model="tales", input="Who?", text=text) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert final.output_text
    options: Any = {"model": "tales", "input": "Who else?", "max_output_tokens": 5}
    alone, again = (client.responses.create(**options, **more) for more in ({}, {"previous_response_id": final.id}))
    assert alone.usage is not None
    assert again.usage is not None
    assert again.usage.input_tokens > alone.usage.input_tokens + len(final.output_text)


def test_openai_reads_errors_and_does_not_repeat_what_failed(api: RunningServer) -> None:
    with openai.OpenAI(base_url=api.base_url, api_key=api.key, timeout=600) as client:
        with pytest.raises(openai.NotFoundError) as unknown:
            client.chat.completions.create(model="gpt-4o", messages=QUESTION)
        assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
        assert "tales/1" in unknown.value.message
        with pytest.raises(openai.BadRequestError) as long:
            client.chat.completions.create(model="tales", messages=[{"role": "user", "content": "x" * 900}])
        assert long.value.code == "context_length_exceeded"
        assert isinstance(long.value.body, dict)
        assert long.value.body["n_ctx"] == 512
        with pytest.raises(openai.NotFoundError):
            client.get("/nothing", cast_to=object)
    with (
        openai.OpenAI(base_url=api.base_url, api_key="gl-wrong", timeout=600) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.models.list()


def test_openai_pages_through_lists_once(client: openai.OpenAI) -> None:
    ids = [model.id for model in client.models.list()]
    assert len(ids) == len(set(ids)) > 4
    assert client.models.retrieve("tales/1").id == "tales/1"
    file = client.files.create(file=("a.jsonl", b"{}\n"), purpose="fine-tune")
    assert file.id in [each.id for each in client.files.list(limit=1)]
    client.files.delete(file.id)


def test_openai_embeds_and_completes(client: openai.OpenAI) -> None:
    vector = client.embeddings.create(model="tales", input="the sea").data[0].embedding
    assert math.isclose(sum(x * x for x in vector), 1, abs_tol=1e-4)
    text = client.completions.create(model="tales", prompt="The old king", max_tokens=4, logprobs=1, echo=True)
    assert text.choices[0].text.startswith("The old king")
    assert text.choices[0].logprobs is not None


def test_openai_makes_and_edits_pictures(client: openai.OpenAI) -> None:
    made = client.images.generate(model="blots", prompt="a boat", n=2, extra_body={"steps": 2, "seed": 1})
    assert made.data is not None
    import base64

    data = base64.b64decode(made.data[0].b64_json or "")
    edited = client.images.edit(
        model="blots", image=[("a.png", data)], prompt="a house", extra_body={"strength": 0.5, "steps": 2}
    )
    assert edited.data is not None
    for event in client.images.generate(
        model="blots", prompt="a boat", stream=True, partial_images=1, extra_body={"steps": 6}
    ):
        last = event
    assert last.type == "image_generation.completed"


def test_an_asynchronous_client_that_leaves_frees_its_place(api: RunningServer) -> None:
    async def leave() -> None:
        async with openai.AsyncOpenAI(base_url=api.base_url, api_key=api.key, timeout=600) as client:
            for is_stream in (True, False):
                options: Any = {"model": "tales", "messages": QUESTION, "max_tokens": 480, "stream": is_stream}
                task = asyncio.create_task(client.chat.completions.create(**options))
                await asyncio.sleep(0.3)
                if is_stream:
                    stream: Any = await task
                    async for _ in stream:
                        break
                    await stream.close()
                else:
                    task.cancel()
            for _ in range(2000):
                if api.state()["queue"] == {"active": 0, "open": 0, "limit": 256}:
                    return
                await asyncio.sleep(0.05)
            raise AssertionError(api.state())

    asyncio.run(leave())


@pytest.mark.slow
def test_openai_reads_an_error_in_the_middle_of_a_stream(api: RunningServer, client: openai.OpenAI) -> None:
    """The process that generates is killed while it writes; the next request is answered by a new one."""
    options: Any = {"model": "tales", "messages": QUESTION, "max_tokens": 480, "logit_bias": {"256": -100, "260": -100}}
    with client.chat.completions.create(**options, stream=True) as stream, pytest.raises(openai.APIError) as caught:
        for number, _ in enumerate(stream):
            if number == 3:
                os.kill(api.state()["pid"], signal.SIGKILL)
    assert (caught.value.code, "again" in caught.value.message) == ("server.engine_died", True)
    options["max_tokens"] = 3
    assert client.chat.completions.create(**options).choices[0].message.content


def test_langchain_chats_streams_calls_and_parses(api: RunningServer) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from langchain_openai import ChatOpenAI, OpenAIEmbeddings
        from pydantic import SecretStr

        options: Any = {"base_url": api.base_url, "api_key": SecretStr(api.key), "model": "tales", "max_retries": 0}
        chat = ChatOpenAI(**options, max_tokens=12)
        assert isinstance(chat.invoke("Who is there?").content, str)
        pieces = [*chat.stream("Who is there?")]
        assert "".join(str(piece.content) for piece in pieces)
        caller = ChatOpenAI(**options, max_tokens=300, temperature=0).bind_tools([RING], tool_choice="ring")
        answer: Any = caller.invoke("Ring!")
        (call,) = answer.tool_calls
        assert (call["name"], call["args"]["times"] in (1, 2)) == ("ring", True)
        schema = {"title": "visitor", **RING["function"]["parameters"]}
        parsed: Any = ChatOpenAI(**options, max_tokens=60).with_structured_output(schema).invoke("Who?")
        assert parsed["times"] in (1, 2)
        embed = OpenAIEmbeddings(**options, check_embedding_ctx_length=False)
        assert len(embed.embed_query("the sea")) == 64


@pytest.mark.slow
def test_llm_prompts_a_model_that_a_user_adds(
    api: RunningServer, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import yaml

    model = {"model_id": "tales", "model_name": "tales", "api_base": api.base_url, "api_key_name": "openai"}
    (tmp_path / "extra-openai-models.yaml").write_text(yaml.safe_dump([model]))
    (tmp_path / "keys.json").write_text(json.dumps({"openai": api.key}))
    environment = {**os.environ, "LLM_USER_PATH": str(tmp_path), "OPENAI_API_KEY": api.key}
    import subprocess

    for options in ([], ["--no-stream"]):
        done = subprocess.run(
            [sys.executable, "-m", "llm", "-m", "tales", "Who is there?", "-o", "max_tokens", "12", *options],
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,  # a program that starts slowly on a busy machine
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()


def test_floats_are_little_endian(client: openai.OpenAI) -> None:
    import base64

    raw = client.embeddings.with_raw_response.create(model="minilm", input="a", encoding_format="base64")
    data = base64.b64decode(json.loads(raw.text)["data"][0]["embedding"])
    assert len(struct.unpack("<384f", data)) == 384
