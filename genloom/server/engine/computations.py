"""Computations that end with a result: scored prompts, stored answers, embeddings."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import torch

from genloom.api.workspace import Workspace
from genloom.errors import GenloomError
from genloom.generate import engine, output_records
from genloom.generate.continuous_batching import can_batch
from genloom.server.engine.building import build_given_answer
from genloom.server.engine.drafts import iter_scores
from genloom.server.engine.loading import LoadedModel
from genloom.server.engine.messages import TokenLogprob, pack_event
from genloom.server.engine.tasks import OutputWriter
from genloom.types import Message, TokenSpace


def iter_score_result(writer: OutputWriter) -> Iterator[Mapping[str, Any] | None]:
    """Yield None after each piece, and last what the scored prompts are."""
    model, rows, scores = writer.loaded.model, writer.built.request, list[list[TokenLogprob]]()
    if not can_batch(model, rows):
        raise GenloomError("server.no_logprobs", model=model.ref)
    for found in iter_scores(model, rows, writer.request):
        if found is None:
            yield None
        else:
            scores += [found] * writer.request.n
    yield pack_event(writer.describe(1, scores))


def iter_stored_answers(
    workspace: Workspace, loaded: LoadedModel, message: Mapping[str, Any]
) -> Iterator[Mapping[str, Any] | None]:
    """Store answers that come from elsewhere as outputs to learn from; yield None after each, last their ids."""
    output_ids = []
    for row in message["answers"]:
        messages = [Message(**each) for each in row["messages"]]
        built, draft = build_given_answer(loaded.model, messages, row["answer"])
        metadata = {**message["metadata"], **built.row_metadata[0]}
        output_ids += output_records.store_outputs(workspace.store, loaded.model, built.request, draft, metadata)
        yield None
    yield {"output_ids": output_ids}


def iter_embeddings(loaded: LoadedModel, texts: Sequence[str]) -> Iterator[Mapping[str, Any] | None]:
    """Yield None after each text, last the vectors: the mean of the hidden states, of length 1."""
    model = loaded.model
    network: Any = dict(model.parts.items()).get("model")
    if not engine.can_stream_text(model) or not hasattr(network, "compute_logits") or model.conditioners:
        raise GenloomError("server.no_embeddings", model=model.ref)
    vectors, num_tokens = [], 0
    for text in texts:
        ids = engine.encode_prefix(model, text)
        if not len(ids):
            raise GenloomError("server.empty_input")
        length = check_embedding_length(len(ids) + 1, model.design.context_length)
        bos = cast(TokenSpace, model.codec.space).bos
        x_1L = torch.tensor([[bos, *ids.tolist()]], device=model.device)
        with torch.inference_mode():
            h_D = network(x_1L, return_logits=False)[0, 1:].float().mean(0)
            vectors.append((h_D / h_D.norm().clamp(min=1e-12)).tolist())
        num_tokens += length - 1
        yield None
    yield {"embeddings": vectors, "num_tokens": num_tokens, "model": model.ref}


def iter_word_embeddings(texts: Sequence[str]) -> Iterator[Mapping[str, Any] | None]:
    """Do the same with the built-in text encoder."""
    from genloom.text_encoders import minilm

    encoder, vectors, num_tokens = minilm.build(minilm.Config(minilm.MAX_PIECES)), [], 0
    for text in texts:
        check_embedding_length(len(encoder.tokenizer.encode(text, add_special_tokens=False).ids), minilm.MAX_PIECES)
        states_SD = encoder.encode([text])[0]
        if not len(states_SD):
            raise GenloomError("server.empty_input")
        mean = states_SD.mean(0)
        vectors.append((mean / max(float((mean**2).sum()) ** 0.5, 1e-12)).tolist())
        num_tokens += len(states_SD)
        yield None
    yield {"embeddings": vectors, "num_tokens": num_tokens, "model": "minilm"}


def check_embedding_length(num_tokens: int, context_length: int) -> int:
    """Return the length of an input; raise GenloomError for one that would be cut."""
    if num_tokens > context_length:
        raise GenloomError("generate.prompt_too_long", num_tokens=num_tokens, context_length=context_length)
    return num_tokens
