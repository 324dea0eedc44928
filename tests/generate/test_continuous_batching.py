"""Continuous batching: sequences that join and leave a batch are what they would be alone."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from genloom.codecs import bytes as utf8
from genloom.generate import continuous_batching
from genloom.generate.continuous_batching import ContinuousBatch, RunningSequence, iter_prompt_logprobs
from genloom.generate.engine import Request, run_request, truncate_request
from genloom.model import Design, Model
from genloom.networks import transformer
from genloom.networks.native import build as native
from genloom.networks.native.quantized_transformer import quantize_network
from genloom.objectives.autoregressive import Autoregressive
from genloom.testing import perturb_weights
from genloom.types import NetworkSpec

CODEC = utf8.Codec(utf8.Config())
SPACE = replace(CODEC.space, context_length=64)


def build_model(bits: int, depth: int = 2) -> Model:
    """Return a model of bytes that has learned nothing, whose texts are as varied as texts can be."""
    if bits and (reason := native.get_unavailable_reason()):
        pytest.skip(reason)
    torch.manual_seed(0)
    config = transformer.Config(width=64, depth=depth, heads=2, mlp_width=96)
    network: nn.Module = transformer.build(NetworkSpec(SPACE, SPACE, is_causal=True), config)
    network = perturb_weights(network, 0.2).eval().requires_grad_(False)
    parts = nn.ModuleDict({"model": quantize_network(network, bits) if bits else network})
    design = Design("bytes", "autoregressive", "transformer", context_length=64)
    return Model("tales", CODEC, Autoregressive(SPACE), parts, design)


CASES: list[tuple[str, int, float, int, dict[str, float], dict[str, Any]]] = [
    ("abc", 20, 0.8, 0, {}, {}),
    ("", 5, 0.0, 0, {}, {}),
    ("the longest prompt of all of them ", 9, 1.2, 5, {"presence_penalty": 1.0, "frequency_penalty": 0.5}, {}),
    ("ab", 30, 1.0, 0, {"repetition_penalty": 1.3}, {"stop": ("e",)}),
    ("abcabcabc", 1, 0.7, 3, {}, {}),
    ("the longest prompt of them", 12, 0.9, 0, {}, {"logit_bias": ((101, 4.0), (32, -100.0))}),
]
REQUESTS = [
    Request((prompt,), (nonce,), params={"max_tokens": length, "temperature": t, "top_k": k, **more}, **fields)
    for nonce, (prompt, length, t, k, more, fields) in enumerate(CASES)
]


@pytest.mark.parametrize("bits", [0, 8], ids=["float32", "int8"])
def test_every_sequence_is_what_it_would_be_alone(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(continuous_batching, "MAX_STEP_TOKENS", 7)  # long prompts take several steps
    monkeypatch.setattr(continuous_batching, "MAX_STEP_TOKENS_BESIDE", 4)
    model = build_model(bits)
    batch, queue, running = ContinuousBatch(model), list(REQUESTS), list[RunningSequence]()
    finished: dict[int, Any] = {}
    while queue or batch.sequences:
        while queue and len(batch.sequences) < 3:
            running.append(batch.add_sequence(queue.pop(0)))
        for sequence in batch.step():
            if sequence.is_done:
                finished[sequence.request.nonces[0]] = sequence.draft
    assert len({draft.num_tokens for draft in finished.values()}) > 2
    for request in REQUESTS:
        assert finished[request.nonces[0]] == run_request(model, request)
    if bits:
        reused = {each.request.nonces[0]: each.num_reused for each in running}
        assert reused[5] == len("the longest prompt of") + 2, "the beginning of an earlier prompt was not read again"


def test_a_removed_sequence_frees_its_place_and_does_not_disturb_others() -> None:
    model, params = build_model(8), {"max_tokens": 9}
    batch = ContinuousBatch(model)
    kept = batch.add_sequence(Request(("ab",), (1,), params=params))
    removed = batch.add_sequence(Request(("c",), (2,), params=params))
    for _ in range(3):
        assert batch.step() == [kept, removed]
    batch.remove_sequence(removed)
    draft = None
    while batch.sequences:
        assert batch.step() == [kept]
        draft = kept.draft
    assert draft == run_request(model, kept.request)


def test_a_sequence_that_is_ended_early_replays_from_its_shorter_request() -> None:
    model = build_model(8)
    batch = ContinuousBatch(model)
    sequence = batch.add_sequence(Request(("ab",), (1,), params={"max_tokens": 30}))
    for _ in range(5):
        batch.step()
    draft = batch.finish(sequence)
    assert draft.num_tokens == (5,)
    assert run_request(model, truncate_request(sequence.request, draft)).values == draft.values
    assert not batch.sequences


def test_others_write_on_while_a_long_prompt_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(continuous_batching, "MAX_STEP_TOKENS_BESIDE", 4)
    batch = ContinuousBatch(build_model(8))
    writer = batch.add_sequence(Request(("a",), (1,), params={"max_tokens": 40}))
    batch.step()
    reader = batch.add_sequence(Request(("b" * 40,), (2,), params={"max_tokens": 4}))
    for _ in range(9):  # its first token, BOS, is known
        assert batch.step() == [writer]
    assert batch.step() == [writer, reader]


@pytest.mark.parametrize("bits", [0, 8], ids=["float32", "int8"])
def test_logprobs_are_those_of_the_model(bits: int) -> None:
    model = build_model(bits)
    batch, logprobs = ContinuousBatch(model), []
    sequence = batch.add_sequence(
        Request(("the king",), (1,), params={"max_tokens": 6, "temperature": 0}), num_logprobs=3
    )
    while batch.sequences:
        batch.step()
        logprobs += sequence.new_logprobs
    ids = sequence.token_ids
    logits_LV = model.parts["model"](torch.from_numpy(ids)[None])[0].float().log_softmax(-1)
    scored = [each for piece in iter_prompt_logprobs(model, ids, 3) for each in piece]
    assert scored[0].logprob is None
    assert [each.token for each in scored] == ids.tolist()
    for at, (token, found) in enumerate(zip(ids[1:], scored[1:], strict=True)):
        assert found.logprob == pytest.approx(float(logits_LV[at, token]), abs=1e-4)
    for found, again in zip(logprobs, scored[sequence.prompt_length :], strict=True):
        assert found.logprob == pytest.approx(again.logprob, abs=1e-4)
        assert found.top[0][0] == found.token, "greedy takes the most likely token"
        assert len(found.top) == 3
