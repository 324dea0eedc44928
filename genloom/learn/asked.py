"""What a rated output was asked and what it answered, as the model's symbols, to be learned from and asked again."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from genloom.generate import engine
from genloom.model import Model
from genloom.rate.preferences import Opinion, Preference
from genloom.store.workspace import Workspace
from genloom.train.lessons import Lessons
from genloom.types import Tokens


@dataclass(frozen=True)
class Asked:
    """One output as its model read and wrote it."""

    prompt: str
    before: tuple[int, ...]  # the symbols it went on from
    answer: tuple[int, ...]  # what it wrote, with the symbol that ended it where one did
    request: engine.Request  # of this row alone


def asked_of(model: Model, record: Mapping[str, Any]) -> Asked:
    """The output of a record, for a model that reads the same symbols. ValueError where it is not text."""
    written = record.get("written")
    space = model.codec.space
    if not isinstance(written, str) or not isinstance(space, Tokens):
        raise ValueError("Only models that write symbols learn from ratings so far; this one makes something else.")
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
    half = max(model.design.length // 2, 1)  # of what the model reads, so that there is room for the answer
    before = np.array(ids[row]) if ids else engine.led(space.start, np.asarray(model.codec.encode(prompt)), half)
    answer = np.asarray(model.codec.encode(written), np.int64)
    room = int(request.controls.get("length") or engine.LENGTH)
    if len(answer) < room and not request.stops:
        answer = np.append(answer, request.ends[0] if request.ends else space.stop)
    return Asked(prompt, whole(before[-half:]), whole(answer), request)


def whole(ids: np.ndarray) -> tuple[int, ...]:
    return tuple(int(n) for n in ids)


def lessons_of(
    workspace: Workspace, model: Model, pairs: Sequence[Preference], opinions: Sequence[Opinion] = ()
) -> Lessons:
    """Preferences as lessons of pairs; with opinions, all of them as single answers, good and bad."""

    def told(output: str) -> Asked:
        return asked_of(model, workspace.output(output)[1])

    wins, loses = [told(pair.win) for pair in pairs], [told(pair.lose) for pair in pairs]
    both = (
        Lessons(
            tuple(win.before for win in wins),
            tuple(win.answer for win in wins),
            tuple(lose.answer for lose in loses),
            (),
            tuple(float(pair.weight) for pair in pairs),
        )
        if pairs
        else None
    )
    if not opinions:
        assert both is not None, "there is something to learn from"
        return both
    alone = [told(opinion.output) for opinion in opinions]
    single = Lessons(
        tuple(each.before for each in alone),
        tuple(each.answer for each in alone),
        (),
        tuple(opinion.good for opinion in opinions),
        tuple(float(opinion.weight) for opinion in opinions),
    )
    return single if both is None else joined(both.single, single)


def joined(one: Lessons, other: Lessons) -> Lessons:
    return Lessons(*(first + second for first, second in zip(vars(one).values(), vars(other).values(), strict=True)))


def questions(workspace: Workspace, model: Model, outputs: Iterable[str], most: int) -> list[Asked]:
    """What the outputs were asked, each prompt once, up to so many; the first output of a prompt says how.

    Their chance is a new one: with that of an output which was preferred, its writer would write that again.
    """
    found: dict[str, Asked] = {}
    for output in outputs:
        each = asked_of(model, workspace.output(output)[1])
        found.setdefault(each.prompt, each)
        if len(found) == most:
            break
    nonces = engine.request(list(found) or [""], 1, 0, (), {}).nonces
    return [
        replace(each, request=replace(each.request, nonces=(nonce,)))
        for each, nonce in zip(found.values(), nonces, strict=bool(found))
    ]


def answered(workspace: Workspace, model: Model, asked: Sequence[Asked], facts: Mapping[str, Any]) -> list[str]:
    """The model's answers, in the order of the questions, each with its own chance and controls; all are stored."""
    written: dict[int, str] = {}
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
            for text in draft.written:
                written[rows[done]] = text
                done += 1
    return [written[n] for n in range(len(asked))]
