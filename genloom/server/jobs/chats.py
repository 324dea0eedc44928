"""Jobs of kind chat: the answer to a question of a conversation."""

import asyncio
from typing import TYPE_CHECKING, Any

from genloom.server.engine.messages import GenerationRequest
from genloom.server.jobs.generations import Generation, find_stored, get_record_owner
from genloom.server.jobs.outcomes import JobCancelled
from genloom.server.jobs.store import Job
from genloom.types import Message

if TYPE_CHECKING:
    from genloom.server.jobs.jobs import Jobs


async def answer_question(jobs: "Jobs", job: Job) -> dict[str, Any]:
    """Answer a question; an answer that an earlier attempt stored is taken, and not given again."""
    params = job.params
    conversation, question = params["conversation"], params["question"]
    if (turn := jobs.conversations.find_answer(job.id)) is not None:
        return {"conversation": conversation, "turn": turn.id, "output": turn.output}
    stored, _ = await asyncio.to_thread(find_stored, jobs, job)
    if stored:
        output = jobs.workspace.output(stored[0])
        return await asyncio.to_thread(add_answer, jobs, job, output.id, str(output.record.get("written") or ""))
    system = jobs.conversations.get(conversation, jobs.local_user)["system"]
    branch = await asyncio.to_thread(jobs.conversations.list_branch, conversation, question)
    messages = [Message("system", system)] if system else []
    request = GenerationRequest(
        model=params["model"],
        messages=(*messages, *(Message(turn.role, turn.content) for turn in branch)),
        seed=params["seed"],
        params=params["params"],
        should_truncate=True,
        keeps_partial=True,
        owner=get_record_owner(job),
        metadata={"job": job.id},
    )
    generation = Generation(jobs, job)
    try:
        await generation.run(request)
    except JobCancelled:
        for id, text in generation.outputs.items():  # what was written until then is the answer
            await asyncio.to_thread(add_answer, jobs, job, id, text)
        raise
    ((id, text),) = generation.outputs.items()
    return await asyncio.to_thread(add_answer, jobs, job, id, text)


def add_answer(jobs: "Jobs", job: Job, output: str, text: str) -> dict[str, Any]:
    params = job.params
    turn = jobs.conversations.add_turn(
        params["conversation"],
        params["question"],
        "assistant",
        text,
        model=params["model"],
        output=output,
        job=job.id,
    )
    jobs.events.publish("conversation.changed", {"id": params["conversation"]}, job.owner)
    return {"conversation": params["conversation"], "turn": turn.id, "output": output}
