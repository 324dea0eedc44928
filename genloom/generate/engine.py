"""Prompt in, stream out: the one engine that asks an objective's sampler for drafts, and stores what comes of it.

Shape letters: B rows of a request.
"""

import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genloom import plugins
from genloom.generate import conditions, original, sequences
from genloom.generate.interpolation import Toward, Turned
from genloom.generate.original import Original
from genloom.generate.reading import Draft, Texts, Whole
from genloom.model import Model, machine, open_model
from genloom.noise import POOL, SIGNAL_POOL, Noise
from genloom.settings import made, table
from genloom.store.files import digest
from genloom.store.workspace import Workspace
from genloom.types import Item, Signal, Space, Tokens

KEY = 0x67656E6C6F6F6D  # of the noise while a workspace has no key of its own: outputs are replayable, not marked
LENGTH = 400  # symbols to write where nobody says how many
ROWS_AT_ONCE = 32  # what a network remembers of so many rows fits in the memory of a small machine
# Controls of samplers that the engine itself fills in.
INTERNAL = {"prompts", "banned", "ended", "stops", "known", "mask", "start", "strength"}


@dataclass(frozen=True)
class Request:
    """What to write: one output for every prompt and nonce, all in one batch."""

    prompts: tuple[str, ...]
    nonces: tuple[int, ...]  # one a prompt; the output's chance
    stops: tuple[str, ...] = ()  # strings that end an output and are not part of it
    controls: Mapping[str, Any] = field(default_factory=dict)  # the sampler's own, and those of conditions.Strength
    ids: tuple[tuple[int, ...], ...] = ()  # symbols to go on from, one row a prompt, where text alone cannot say them
    ends: tuple[int, ...] = ()  # symbols that end an output besides the codec's own
    original: Original | None = None  # the picture that all are made from
    toward: Toward | None = None  # the other end of the way on which the outputs lie

    def __post_init__(self) -> None:
        assert len(self.prompts) == len(self.nonces)
        assert len(self.ids) in (0, len(self.prompts))


def request(
    prompts: Sequence[str],
    count: int,
    seed: int | None,
    stops: Sequence[str],
    controls: Mapping[str, Any],
    pool: int = POOL,
) -> Request:
    """`count` outputs for each prompt. Nonces come from a small pool, so that a mark can be found; a seed fixes them.

    Outputs of one prompt get different nonces as long as the pool lasts.
    """
    if count < 1 or not prompts:
        raise ValueError(f"Asked for {count} outputs for each of {len(prompts)} prompts: that is nothing to write.")
    if seed is not None and seed < 0:
        raise ValueError(f"A seed is a whole number from 0 on, got {seed}.")
    chance = np.random.default_rng(secrets.randbits(64) if seed is None else seed)
    nonces: list[int] = []
    for _ in prompts:
        drawn = chance.permutation(pool)
        nonces += [int(drawn[i % pool]) + pool * (i // pool) for i in range(count)]
    return Request(tuple(p for p in prompts for _ in range(count)), tuple(nonces), tuple(stops), dict(controls))


def portions(asked: Request, rows: int = ROWS_AT_ONCE) -> list[Request]:
    """The request in batches that fit in memory, each to be generated, stored and replayed by itself."""
    return [rows_of(asked, slice(first, first + rows)) for first in range(0, len(asked.prompts), rows)]


def rows_of(asked: Request, rows: slice) -> Request:
    return replace(
        asked,
        prompts=asked.prompts[rows],
        nonces=asked.nonces[rows],
        ids=asked.ids[rows],
        toward=None if asked.toward is None else asked.toward.rows(rows),
    )


def between(asked: Request, frames: int) -> Request:
    """The request for a row of outputs on the way from the first of two to the second.

    Two prompts share one draw of chance, so that only what is said changes. Raises ValueError for other than two.
    """
    if len(asked.prompts) != 2 or frames < 2:
        raise ValueError(f"A way needs two ends and 2 frames or more, got {len(asked.prompts)} and {frames}.")
    end = asked.nonces[0] if asked.prompts[0] != asked.prompts[1] else asked.nonces[1]
    ends = Toward(asked.prompts[1:] * frames, (end,) * frames, tuple(np.linspace(0, 1, frames).tolist()))
    return replace(asked, prompts=asked.prompts[:1] * frames, nonces=asked.nonces[:1] * frames, toward=ends)


def pool_of(space: Space) -> int:
    """How many nonces outputs of a space are drawn from."""
    return POOL if written(space) else SIGNAL_POOL


def written(space: Space) -> bool:
    """Whether outputs are sequences that a stop symbol ends, and not of one size."""
    return isinstance(space, Tokens) and not space.grid


def never() -> bool:
    return False


def generate(model: Model, asked: Request, enough: Callable[[], bool] = never) -> Iterator[Draft]:
    """Yield ever better drafts; the last is the result.

    `enough` is asked after every draft whether to leave it at that; what was left is made again by `cut_short`.
    Raises ValueError for a setting that the model's sampler does not have, naming those it has.
    """
    controls, ended, prompts = prepared(model, asked)
    parts, cond = conditions.told(model, asked.prompts, asked.toward, asked.controls)
    read: Callable[[Tensor, bool], Draft]
    if written(model.codec.space):
        read = Texts(model.codec, prompts, asked.stops, asked.ends, ended, left_to_right(model))
    elif asked.original is None:
        read = Whole(model.codec)
    else:
        begun, paste = original.given(asked.original, model)
        controls, read = replace(controls, **begun), Whole(model.codec, paste)
    last = None
    try:
        for last in model.objective.sample(parts, len(asked.prompts), cond, chance(asked), controls):
            yield read(last, False)
            if ended.all() or enough():
                break
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        raise ValueError(
            f"There is not enough memory to make {len(asked.prompts)} of these at once. "
            "Ask for fewer (--count) or shorter ones (--length)."
        ) from None
    assert last is not None, "a sampler yields a draft"
    yield read(last, True)


def chance(asked: Request) -> Noise:
    """The noise of the rows: a function of their nonces."""
    if asked.toward is None:
        return Noise(KEY, asked.nonces)
    return Turned(KEY, asked.nonces, asked.toward.nonces, asked.toward.shares)


def cut_short(asked: Request, draft: Draft) -> Request:
    """The request that gives a draft which was left before its end: the same, no longer than that."""
    return asked if all(draft.ended) else replace(asked, controls={**asked.controls, "length": max(draft.symbols)})


def finished(model: Model, asked: Request) -> Draft:
    """The last draft."""
    *_, last = generate(model, asked)
    return last


def prepared(model: Model, asked: Request) -> tuple[Any, np.ndarray, list[np.ndarray]]:
    """The sampler's controls, the flags that end rows from outside, and the prompts as the codec's symbols."""
    kind, space = plugins.find("objective", model.design.objective).Controls, model.codec.space
    names = controls_of(model)
    check(model, asked)
    given = {name: value for name, value in asked.controls.items() if name in names and value is not None}
    controls, ended = made(kind, given, "generate"), np.zeros(len(asked.prompts), dtype=bool)
    if not isinstance(space, Tokens):
        return controls, ended, []
    if space.grid:
        starts = (np.array([space.start]),) * len(asked.prompts)
        whole = {"prompts": starts, "length": prod(space.grid), "banned": (space.start, space.stop)}
        return replace(controls, ended=ended, **whole), ended, []
    texts = ["" if asked.ids or model.prompts is not None else prompt for prompt in asked.prompts]
    prompts = [np.asarray(model.codec.encode(text), dtype=np.int64) for text in texts]
    causal = left_to_right(model)
    room, read_back = sequences.spans(model, controls.length or LENGTH * causal, causal)
    rows = sequences.ready(asked.ids, space, read_back) or tuple(led(space.start, p, read_back) for p in prompts)
    banned = sequences.silent(model.codec, (space.stop, *asked.ends))
    controls = replace(controls, prompts=rows, ended=ended, length=room, banned=banned)
    return replace(controls, stops=asked.ends) if "stops" in names else controls, ended, prompts


def check(model: Model, asked: Request) -> None:
    """Raises ValueError for what this model cannot be asked for."""
    this, space = f"A model with the objective {model.design.objective!r}", model.codec.space
    given = {name for name, value in asked.controls.items() if value is not None}
    if unknown := sorted(given - set(settings(model))):
        raise ValueError(f"{this} has no setting {unknown[0]!r}. It has: {', '.join(settings(model))}.")
    if model.prompts is None and not isinstance(space, Tokens) and any(asked.prompts):
        raise ValueError(f"{this} takes no prompt; leave it away.")
    if asked.original is not None and not starts_from_pictures(model):
        raise ValueError(f"{this} does not start from a picture: leave --source away.")
    if asked.toward is not None and isinstance(space, Tokens):
        raise ValueError(f"{this} writes symbols, and there is nothing between two of them: leave --interpolate away.")


def starts_from_pictures(model: Model) -> bool:
    space = model.codec.space
    return "start" in controls_of(model) and isinstance(space, Signal) and len(space.size) == 2


def settings(model: Model) -> list[str]:
    """The controls that a request to this model can have."""
    strength = {f.name for f in fields(conditions.Strength)} if conditions.guidable(model) else set()
    return sorted((controls_of(model) - INTERNAL) | strength)


def controls_of(model: Model) -> set[str]:
    """The names of all controls of the model's sampler."""
    return {f.name for f in fields(plugins.find("objective", model.design.objective).Controls)}


def steps(model: Model, asked: Request) -> int:
    """How many drafts the request will give at most, the last one twice."""
    controls, _, _ = prepared(model, asked)
    return int(getattr(controls, "steps", 0) or getattr(controls, "length", 1))


def led(start: int, prompt: np.ndarray, length: int) -> np.ndarray:
    """A prompt after the symbol that starts a document; of a longer one, as much of its end as the network reads."""
    return np.concatenate([[start], prompt])[-length:]


def left_to_right(model: Model) -> bool:
    """Whether the model writes symbol after symbol, so that what a draft says stays."""
    return all(role.causal for role in model.objective.roles.values())


def store(
    workspace: Workspace, model: Model, asked: Request, draft: Draft, facts: Mapping[str, Any] | None = None
) -> list[str]:
    """Put every output of a finished draft into the workspace with all it takes to make it again; returns their ids.

    `facts` are put into each record beside that, for whoever reads it.
    """
    assert model.folder is not None, "only a stored model's outputs can be traced"
    medium = plugins.find("medium", model.design.medium)
    told = table(replace(asked, original=None))
    if asked.original is not None:
        told["original"] = original.kept(workspace, asked.original, medium)
    ids = []
    for row, (item, prompt) in enumerate(zip(draft.items, asked.prompts, strict=True)):
        record = {
            **(facts or {}),
            "model": model.ref,
            "model_digest": model.folder.digest,
            "adapters": {ref: workspace.model(ref).digest for ref in model.adapters},
            "precision": model.precision,
            "prompt": prompt,
            "written": draft.written[row] if isinstance(item, str) else None,
            "row": row,
            "request": told,
            "machine": machine(),
        }
        ids.append(workspace.record_output(as_file(medium, item), medium.suffixes[0], record))
    return ids


def replay(workspace: Workspace, output: str) -> tuple[Path, Any]:
    """Make a stored output again from its record; returns the stored file and the new item, equal byte for byte.

    The whole batch is run again, since the last bits of a sum can depend on its size. Raises ValueError where the
    model is no longer the one that wrote it, where the stored file was changed, and where the new bytes differ, which
    names what changed in the machine.
    """
    path, record = workspace.output(output)
    if not {"model", "model_digest", "request", "row", "machine", "sha256"} <= record.keys():
        raise ValueError(f"{path.with_suffix('.json')} does not say how {output} was made. It cannot be replayed.")
    if digest(path) != record["sha256"]:
        raise ValueError(f"{path} was changed since it was written, so a replay cannot give the same bytes.")
    adapters = tuple(record.get("adapters", {}))
    for ref, known in {record["model"]: record["model_digest"], **record.get("adapters", {})}.items():
        if workspace.model(ref).digest != known:
            raise ValueError(f"{ref} is not the model that wrote {output}: its digest differs. It cannot be replayed.")
    model = open_model(workspace, record["model"], adapters, record.get("precision", "float32"))
    if adapters != model.adapters:
        model = model.switched(adapters)
    medium, told = plugins.find("medium", model.design.medium), dict(record["request"])
    picture = told.pop("original", None)
    asked = replace(made(Request, told, "request"), original=picture and original.again(workspace, picture, medium))
    item = finished(model, asked).items[record["row"]]
    if as_file(medium, item) != path.read_bytes():
        now = machine()
        changed = [f"{k}: {v} → {now.get(k)}" for k, v in record["machine"].items() if now.get(k) != v]
        reason = f"The machine changed ({'; '.join(changed)})." if changed else "Genloom itself may have changed since."
        raise ValueError(f"The replay of {output} does not give the stored bytes. {reason}")
    return path, item


def as_file(medium: Any, item: Any) -> bytes:
    """The bytes of the file that a medium saves an item as."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"output{medium.suffixes[0]}"
        medium.save(Item(item), path)
        return path.read_bytes()
