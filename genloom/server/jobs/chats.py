"""Jobs of kind chat: the answer to a question of a conversation."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genloom.errors import GenloomError
from genloom.server.access import User
from genloom.server.engine.messages import GenerationRequest
from genloom.server.jobs.generations import Generation, find_stored, get_record_owner
from genloom.server.jobs.outcomes import JobCancelled
from genloom.server.jobs.store import Job
from genloom.server.knowledge import check_knowledge
from genloom.server.reasoning import split_reasoning
from genloom.types import Message

if TYPE_CHECKING:
    from genloom.server.jobs.jobs import Jobs
    from genloom.server.turns import Turn

_SECONDS = 300.0  # for reading attached files, and for finding passages
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Context:
    """The messages that a model reads, what the record of its answer says of them, and what a page shows."""

    messages: tuple[Message, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    found: Mapping[str, Any] = field(default_factory=dict)


async def answer_question(jobs: "Jobs", job: Job) -> dict[str, Any]:
    """Answer a question; an answer that an earlier attempt stored is taken, and not given again."""
    params = job.params
    conversation, question = params["conversation"], params["question"]
    if (turn := jobs.conversations.find_answer(job.id)) is not None:
        return {"conversation": conversation, "turn": turn.id, "output": turn.output}
    stored, _ = await asyncio.to_thread(find_stored, jobs, job)
    if stored:
        output = jobs.workspace.output(stored[0])
        return await asyncio.to_thread(add_answer, jobs, job, output.id, str(output.record.get("written") or ""), {})
    generation = Generation(jobs, job)
    branch = await asyncio.to_thread(jobs.conversations.list_branch, conversation, question)
    context = await read_context(jobs, job, generation, branch)
    request = GenerationRequest(
        model=params["model"],
        messages=context.messages,
        seed=params["seed"],
        params=params["params"],
        should_truncate=True,
        keeps_partial=True,
        owner=get_record_owner(job),
        metadata={"job": job.id, **context.facts},
    )
    try:
        await generation.run(request)
    except JobCancelled:
        for id, text in generation.outputs.items():  # what was written until then is the answer
            await asyncio.to_thread(add_answer, jobs, job, id, text, context.found)
        raise
    ((id, text),) = generation.outputs.items()
    found = await cite_answer(jobs, text, context.found)
    return await asyncio.to_thread(add_answer, jobs, job, id, text, found)


async def read_context(jobs: "Jobs", job: Job, generation: Generation, branch: "Sequence[Turn]") -> Context:
    """Return what the model reads: the branch, passages of the documents of the conversation, and attached files."""
    conversation = jobs.conversations.get(job.params["conversation"], jobs.local_user)
    system = [Message("system", conversation["system"])] if conversation["system"] else []
    messages = (*system, *(Message(turn.role, turn.content) for turn in branch))
    uploads = list(dict.fromkeys(upload for turn in branch for upload in turn.attachments))
    if not uploads and not conversation["knowledge"]:
        return Context(messages)
    user = User(job.owner, job.owner, frozenset())
    await generation.report(stage="Reading the documents")

    def find_files() -> list[str]:
        check_knowledge(jobs.workspace, conversation["knowledge"], user)
        for upload in uploads:
            jobs.uploads.get(upload, user)
        return [str(path) for upload in uploads for path in jobs.uploads.list_files(upload)]

    read = await jobs.slow_worker.ask(
        "read_context",
        seconds=_SECONDS,
        model=job.params["model"],
        messages=[{"role": each.role, "content": each.content} for each in messages],
        knowledge=conversation["knowledge"],
        attachments=await asyncio.to_thread(find_files),
        max_tokens=int(job.params["params"].get("max_tokens") or 0),
    )
    if jobs.is_cancelling(job.id):
        raise JobCancelled
    return Context(tuple(Message(**each) for each in read["messages"]), read["facts"], read["found"])


async def cite_answer(jobs: "Jobs", text: str, found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what was found with the sentences of the answer, each with the passage that supports it."""
    knowledge: Mapping[str, Any] = found.get("knowledge") or {}
    sources = [each for each in knowledge.get("sources", ()) if each["is_read"]]
    if not sources:
        return found
    try:
        answer = split_reasoning(text)[1]
        sentences = await jobs.slow_worker.ask("cite_answer", seconds=_SECONDS, answer=answer, sources=sources)
    except GenloomError as error:  # the answer stays, and the page says that its sentences were not compared
        _logger.warning("the sentences of an answer were not compared with their sources: %s", error)
        return found
    return {**found, "knowledge": {**knowledge, "sentences": sentences}}


def add_answer(jobs: "Jobs", job: Job, output: str, text: str, found: Mapping[str, Any]) -> dict[str, Any]:
    params = job.params
    turn = jobs.conversations.add_turn(
        params["conversation"],
        params["question"],
        "assistant",
        text,
        model=params["model"],
        output=output,
        job=job.id,
        context=found,
    )
    jobs.events.publish("conversation.changed", {"id": params["conversation"]}, job.owner)
    return {"conversation": params["conversation"], "turn": turn.id, "output": output}
