"""What a rated output was asked and what it answered, as the model reads it, to be learned from and asked again."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from genloom.codecs.roles import Speaking, written
from genloom.generate import engine
from genloom.model import Model
from genloom.rate.preferences import Opinion, Preference
from genloom.rate.values import value_of
from genloom.store.workspace import Workspace
from genloom.text_encoders import weighting
from genloom.train.lessons import Lessons, Rows
from genloom.train.samples import Rows as Samples
from genloom.train.samples import encoded, together
from genloom.types import Item, Message, Tokens


@dataclass(frozen=True)
class Asked:
    """One output as its model read and wrote it."""

    prompt: str
    before: tuple[int, ...]  # the symbols it went on from; none of what is not written symbol by symbol
    answer: tuple[int, ...]  # what it wrote, with the symbol that ended it where one did
    request: engine.Request  # of this row alone


def asked_of(model: Model, record: Mapping[str, Any]) -> Asked:
    """The output of a record, for a model that reads and writes as its own did."""
    told, row = dict(record.get("request") or {}), int(record.get("row") or 0)
    ids, nonces = told.get("ids") or (), told.get("nonces") or ()
    prompt = str(record.get("prompt") or "")
    request = engine.Request(
        (prompt,),
        (int(nonces[row]) if nonces else 0,),
        tuple(told.get("stops") or ()),
        dict(told.get("controls") or {}),
        (tuple(ids[row]),) if ids else (),
        tuple(told.get("ends") or ()),
    )
    space = model.codec.space
    if not engine.written(space):
        return Asked(prompt, (), (), request)
    written = record.get("written")
    if not isinstance(written, str) or not isinstance(space, Tokens):
        raise ValueError(f"The output {record.get('id')} is no text, and {model.ref} writes text: name another model.")
    answer = np.asarray(model.codec.encode(written), np.int64)
    room = int(request.controls.get("length") or engine.LENGTH)
    if len(answer) < room and not request.stops:
        answer = np.append(answer, request.ends[0] if request.ends else space.stop)
    return Asked(prompt, before(model, request), whole(answer), request)


def before(model: Model, request: engine.Request) -> tuple[int, ...]:
    """What a request of one row goes on from: the end of it, so that half of what the model reads is the answer's."""
    half = max(model.design.length // 2, 1)
    if request.ids:
        return request.ids[0][-half:]
    start = cast(Tokens, model.codec.space).start
    return whole(engine.led(start, np.asarray(model.codec.encode(request.prompts[0])), half))


def whole(ids: np.ndarray) -> tuple[int, ...]:
    return tuple(int(n) for n in ids)


def lessons_of(
    workspace: Workspace, model: Model, pairs: Sequence[Preference], opinions: Sequence[Opinion] = ()
) -> Lessons:
    """Preferences as lessons of pairs; with opinions, all of them as single answers, good and bad."""
    outputs = [*(p.win for p in pairs), *(p.lose for p in pairs), *(o.output for o in opinions)]
    known, samples = rows_of(workspace, model, dict.fromkeys(outputs))

    def side(names: Iterable[str]) -> tuple[Rows, Rows]:
        found = [known[name] for name in names]
        return tuple(prompt for prompt, _ in found), tuple(answer for _, answer in found)

    weights = tuple(float(pair.weight) for pair in pairs)
    prompts, wins = side(pair.win for pair in pairs)
    both = Lessons(prompts, wins, side(pair.lose for pair in pairs)[1], (), weights, samples) if pairs else None
    if not opinions:
        assert both is not None, "there is something to learn from"
        return both
    alone = side(opinion.output for opinion in opinions)
    weights = tuple(float(opinion.weight) for opinion in opinions)
    single = Lessons(*alone, (), tuple(opinion.good for opinion in opinions), weights, samples)
    return single if both is None else joined(both.single, single)


def rows_of(
    workspace: Workspace, model: Model, outputs: Iterable[str]
) -> tuple[dict[str, tuple[tuple[int, ...], tuple[int, ...]]], Samples | None]:
    """Prompt and answer of each output as symbols; what is not written so, as the numbers of samples, and these."""
    if engine.written(model.codec.space):
        told = {output: asked_of(model, workspace.output(output)[1]) for output in outputs}
        return {output: (each.before, each.answer) for output, each in told.items()}, None
    records = {output: workspace.output(output) for output in outputs}
    prompts = [str(record.get("prompt") or "") for _, record in records.values()]
    items = (Item(value_of(*found)) for found in records.values())
    shown = together(list(encoded(items, model.codec, None)))
    if model.prompts is not None:
        states = weighting.states(model.prompts, prompts)
        ends = np.cumsum([len(each) for each in states], dtype=np.int64)
        shown = Samples(shown.x, np.concatenate(states).astype(np.float16), ends)
    return {output: ((n,), (n,)) for n, output in enumerate(records)}, shown


def joined(one: Lessons, other: Lessons) -> Lessons:
    """Single answers of both; they share their samples, where there are any."""
    return Lessons(
        one.prompts + other.prompts,
        one.answers + other.answers,
        (),
        one.good + other.good,
        one.weights + other.weights,
        one.samples,
    )


def questions(workspace: Workspace, model: Model, outputs: Iterable[str], most: int) -> list[Asked]:
    """What the outputs were asked, each prompt once, up to so many; the first output of a prompt says how.

    What was made from a picture, or lies between two, is left out: a prompt alone does not ask for it again.
    Their chance is a new one: with that of an output which was preferred, its writer would write that again.
    """
    found: dict[str, Asked] = {}
    for output in outputs:
        record = workspace.output(output)[1]
        if any((record.get("request") or {}).get(name) for name in ("original", "toward")):
            continue
        each = asked_of(model, record)
        found.setdefault(each.prompt, each)
        if len(found) == most:
            break
    pool = engine.pool_of(model.codec.space)
    nonces = engine.request(list(found) or [""], 1, 0, (), {}, pool).nonces
    return [
        replace(each, request=replace(each.request, nonces=(nonce,)))
        for each, nonce in zip(found.values(), nonces, strict=bool(found))
    ]


def fresh(workspace: Workspace, model: Model, like: str, prompts: Sequence[str]) -> list[Asked]:
    """Prompts that nobody has rated answers to, asked as the output `like` was: as a question of a chat, or plainly."""
    record = workspace.output(like)[1]
    pattern = asked_of(model, record)
    said = [Message(turn["role"], turn["content"]) for turn in record.get("conversation") or ()]
    system = [message for message in said if message.role == "system"]
    nonces = engine.request(list(prompts) or [""], 1, 2, (), {}, engine.pool_of(model.codec.space)).nonces
    found = []
    for prompt, nonce in zip(prompts, nonces, strict=bool(prompts)):
        request = replace(pattern.request, prompts=(prompt,), nonces=(nonce,))
        if pattern.request.ids:
            ids = written(cast(Speaking, model.codec), [*system, Message("user", prompt)], reply=True)[0]
            request = replace(request, ids=(whole(ids),))
        read = before(model, request) if engine.written(model.codec.space) else ()
        found.append(Asked(prompt, read, (), request))
    return found


def answered(workspace: Workspace, model: Model, asked: Sequence[Asked], facts: Mapping[str, Any]) -> list[Any]:
    """The model's answers, in the order of the questions, each with its own chance and controls; all are stored."""
    written: dict[int, Any] = {}
    alike: dict[str, list[int]] = {}
    for n, each in enumerate(asked):  # a request has one set of controls
        same = (sorted(each.request.controls.items()), each.request.stops, each.request.ends, bool(each.request.ids))
        alike.setdefault(repr(same), []).append(n)
    for rows in alike.values():
        requests = [asked[n].request for n in rows]
        whole_request = engine.Request(
            tuple(r.prompts[0] for r in requests),
            tuple(r.nonces[0] for r in requests),
            requests[0].stops,
            requests[0].controls,
            tuple(r.ids[0] for r in requests if r.ids),
            requests[0].ends,
        )
        done = 0
        for portion in engine.portions(whole_request):
            draft = engine.finished(model, portion)
            engine.store(workspace, model, portion, draft, facts)
            for said in draft.written:
                written[rows[done]] = said
                done += 1
    return [written[n] for n in range(len(asked))]
