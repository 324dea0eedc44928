"""Chat templates that begin the reasoning themselves: the opening tag is sent, so that clients see where it is."""

import json
from dataclasses import replace

import pytest

from genloom.api.workspace import Workspace
from genloom.codecs import bytes as byte_codec
from genloom.codecs.chat_template import DEFAULT_CHAT_TEMPLATE
from genloom.server.engine import Finished, GenerationRequest, Stored, Text
from genloom.types import Message
from tests.server.engine.test_scheduler import Server

ANSWER = "A king.</think>\n\nNobody."


def test_the_opening_tag_of_a_template_is_sent_before_the_answer(
    engine_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = DEFAULT_CHAT_TEMPLATE.prefixes["assistant"] + "<think>\n"
    template = replace(DEFAULT_CHAT_TEMPLATE, generation_prompt=prompt)
    monkeypatch.setattr(byte_codec.Codec, "chat_template", template)
    server = Server(engine_workspace)
    grammar = json.dumps({"grammars": [{"lark_grammar": f"start: {json.dumps(ANSWER)}"}]})
    id = server.submit(GenerationRequest("tales", messages=(Message("user", "Who?"),), grammar=grammar, seed=1))
    server.run()
    (stored,) = server.find(id, Stored)
    assert stored.text == f"<think>{ANSWER}"
    assert "".join(event.text for event in server.find(id, Text)) == stored.text
    assert stored.num_reasoning_tokens == len("A king.</think>")  # the model reads bytes
    assert server.find(id, Finished)[0].num_reasoning_tokens == stored.num_reasoning_tokens
    assert engine_workspace.output(stored.output_id).continuation == ANSWER  # what was generated, for a replay
