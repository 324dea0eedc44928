"""Prompt in, stream out: the one engine that asks an objective's sampler for drafts, and stores what comes of it.

Shape letters: B rows of a request.
"""

import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from genloom import plugins
from genloom.model import Model, machine, open_model
from genloom.noise import POOL, Noise
from genloom.settings import made, table
from genloom.store.files import digest
from genloom.store.workspace import Workspace
from genloom.types import Codec, Item, Tokens

KEY = 0x67656E6C6F6F6D  # of the noise while a workspace has no key of its own: outputs are replayable, not marked


LENGTH = 400  # symbols to write where nobody says how many
ROWS_AT_ONCE = 32  # what a network remembers of so many rows fits in the memory of a small machine


@dataclass(frozen=True)
class Request:
    """What to write: one output for every prompt and nonce, all in one batch."""

    prompts: tuple[str, ...]
    nonces: tuple[int, ...]  # one a prompt; the output's chance
    stops: tuple[str, ...] = ()  # strings that end an output and are not part of it
    controls: Mapping[str, Any] = field(default_factory=dict)  # the sampler's own: temperature, top_p, length …
    ids: tuple[tuple[int, ...], ...] = ()  # symbols to go on from, one row a prompt, where text alone cannot say them
    ends: tuple[int, ...] = ()  # symbols that end an output besides the codec's own

    def __post_init__(self) -> None:
        assert len(self.prompts) == len(self.nonces)
        assert len(self.ids) in (0, len(self.prompts))


@dataclass(frozen=True)
class Draft:
    """The outputs as far as they are."""

    items: tuple[Any, ...]  # whole: what was prompted as text and what was written
    written: tuple[Any, ...]  # only what the model wrote
    ended: tuple[bool, ...]
    symbols: tuple[int, ...]  # how many each row has, up to its end


def request(
    prompts: Sequence[str], count: int, seed: int | None, stops: Sequence[str], controls: Mapping[str, Any]
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
        drawn = chance.permutation(POOL)
        nonces += [int(drawn[i % POOL]) + POOL * (i // POOL) for i in range(count)]
    return Request(tuple(p for p in prompts for _ in range(count)), tuple(nonces), tuple(stops), dict(controls))


def portions(asked: Request, rows: int = ROWS_AT_ONCE) -> list[Request]:
    """The request in batches that fit in memory, each to be generated, stored and replayed by itself."""
    cuts = [slice(first, first + rows) for first in range(0, len(asked.prompts), rows)]
    return [
        replace(asked, prompts=asked.prompts[cut], nonces=asked.nonces[cut], ids=asked.ids[cut] if asked.ids else ())
        for cut in cuts
    ]


def never() -> bool:
    return False


def generate(model: Model, asked: Request, enough: Callable[[], bool] = never) -> Iterator[Draft]:
    """Yield ever better drafts; the last is the result.

    `enough` is asked after every draft whether to leave it at that; what was left is made again by `cut_short`.
    Raises ValueError for a setting that the model's sampler does not have, naming those it has.
    """
    controls, ended, prompts = prepared(model, asked)
    noise = Noise(KEY, asked.nonces)
    last: list[np.ndarray] = []
    heard = [Heard(model, prompt) for prompt in prompts]
    for draft in model.objective.sample(dict(model.parts.items()), len(asked.prompts), None, noise, controls):
        last = list(draft.cpu().numpy())
        yield read(model, asked, heard, last, ended, final=False)
        if ended.all() or enough():
            break
    yield read(model, asked, heard, last, ended, final=True)


class Heard:
    """What a row says so far; where it only grows, each symbol is decoded once."""

    def __init__(self, model: Model, prompt: np.ndarray):
        codec: Any = model.codec
        self.codec, self.prompt = codec, prompt
        # Some vocabularies write a blank before every text; one that goes on has no such blank to leave out.
        goes_on = len(prompt) > 0 or not hasattr(codec, "after")
        self.told = getattr(codec, "after", codec.decode) if goes_on else codec.decode
        self.stream = codec.stream() if goes_on and left_to_right(model) and hasattr(codec, "stream") else None
        self.count, self.text = 0, ""

    @cached_property
    def start(self) -> str:
        """What was prompted as text."""
        return self.codec.decode(self.prompt)

    def __call__(self, row: np.ndarray, final: bool) -> Any:
        """The value of a row, which begins with the row before; characters may be left out that are not whole."""
        if self.stream is None or final:
            return self.told(row)
        self.text += self.stream.feed(row[self.count :])
        self.count = len(row)
        return self.text


def cut_short(asked: Request, draft: Draft) -> Request:
    """The request that gives a draft which was left before its end: the same, no longer than that."""
    return asked if all(draft.ended) else replace(asked, controls={**asked.controls, "length": max(draft.symbols)})


def finished(model: Model, asked: Request) -> Draft:
    """The last draft."""
    *_, last = generate(model, asked)
    return last


def prepared(model: Model, asked: Request) -> tuple[Any, np.ndarray, list[np.ndarray]]:
    """The sampler's controls, the flags that end rows from outside, and the prompts as the codec's symbols."""
    kind = plugins.find("objective", model.design.objective).Controls
    ended = np.zeros(len(asked.prompts), dtype=bool)
    known = {f.name for f in fields(kind)}
    given = {name: value for name, value in asked.controls.items() if value is not None}
    settable = sorted(known - {"prompts", "banned", "ended", "known", "stops"})
    unknown = sorted(given.keys() - set(settable))
    if unknown:
        raise ValueError(
            f"A model with the objective {model.design.objective!r} has no setting {unknown[0]!r}. "
            f"It has: {', '.join(settable)}."
        )
    prompts = [np.asarray(model.codec.encode("" if asked.ids else p), dtype=np.int64) for p in asked.prompts]
    controls = made(kind, given, "generate")
    space = model.codec.space
    if "prompts" in known and isinstance(space, Tokens):
        room, read_back = spans(model, controls.length)
        rows = ready(asked.ids, space, read_back) or tuple(led(space.start, p, read_back) for p in prompts)
        controls = replace(controls, prompts=rows, ended=ended, length=room)
        controls = replace(controls, banned=silent(model.codec, (space.stop, *asked.ends)))
        if "stops" in known:
            controls = replace(controls, stops=asked.ends)
    elif any(asked.prompts):
        raise ValueError(f"A model with the objective {model.design.objective!r} takes no prompt; leave it away.")
    return controls, ended, prompts


def left_to_right(model: Model) -> bool:
    """Whether the model writes symbol after symbol, so that what a draft says stays."""
    return all(role.causal for role in model.objective.roles.values())


def spans(model: Model, length: int) -> tuple[int, int]:
    """How many symbols to write, and how many before them are read.

    A causal network goes on as long as one likes and reads what lies just behind; another sees all of it at once.
    """
    most = model.design.length
    if left_to_right(model):
        return length or LENGTH, most
    if length >= most:
        raise ValueError(
            f"A model with the objective {model.design.objective!r} sees {most} symbols at once, prompt included: "
            f"choose a length below {most}."
        )
    room = length or max(most // 2, 1)
    return room, most - room


def led(start: int, prompt: np.ndarray, length: int) -> np.ndarray:
    """A prompt after the symbol that starts a document; of a longer one, as much of its end as the network reads."""
    return np.concatenate([[start], prompt])[-length:]


def ready(ids: tuple[tuple[int, ...], ...], space: Tokens, length: int) -> tuple[np.ndarray, ...]:
    """Ready-made rows, of each as much of its end as the network reads; ValueError for symbols that are none."""
    if not all(row and 0 <= min(row) <= max(row) < space.vocab for row in ids):
        raise ValueError(f"Symbols to go on from must be numbers from 0 to {space.vocab - 1}, one or more.")
    return tuple(np.array(row[-length:], dtype=np.int64) for row in ids)


def silent(codec: Codec, stops: Sequence[int]) -> tuple[int, ...]:
    """Symbols that mark roles and padding: never written unless asked for."""
    return tuple(i for i in getattr(codec, "specials", {}).values() if i not in stops)


def read(
    model: Model, asked: Request, heard: list[Heard], rows: list[np.ndarray], ended: np.ndarray, final: bool
) -> Draft:
    """What the rows of a draft say, up to where each ends; rows that reach a stop string are marked as ended."""
    items, written, symbols = [], [], []
    stop = getattr(model.codec.space, "stop", None)
    for i, (said, row) in enumerate(zip(heard, rows, strict=True)):
        ends = np.isin(row, (stop, *asked.ends)) if stop is not None else np.zeros(0, dtype=bool)
        if ends.any():
            row = row[: int(ends.argmax())]
        holes = stop is not None and bool((row < 0).any())
        news = with_holes(model.codec, row) if holes else said(row, final or bool(ended[i]))
        if isinstance(news, str):
            news, hit = until(news, asked.stops, hold_back=not (final or ended[i]))
            ended[i] |= hit and not holes
            whole = said.start + news
        else:
            whole = news
        items.append(whole)
        written.append(news)
        symbols.append(len(row))
    return Draft(tuple(items), tuple(written), tuple(ended.tolist()), tuple(symbols))


def with_holes(codec: Codec, row: np.ndarray) -> str:
    """The text of a draft in which some symbols are not written yet, each shown as a dot."""
    runs = np.split(row, np.flatnonzero(np.diff(row < 0)) + 1)
    return "".join("·" * len(run) if run[0] < 0 else codec.decode(run) for run in runs)


def until(text: str, stops: Sequence[str], hold_back: bool) -> tuple[str, bool]:
    """Text up to the first stop string, and whether there was one.

    `hold_back` also takes off an end that may become something else: the beginning of a stop string, or a character
    that is not whole.
    """
    found = [at for at in (text.find(s) for s in stops if s) if at >= 0]
    if found:
        return text[: min(found)], True
    if hold_back:
        text = text.rstrip("\ufffd")
        longest = max((n for s in stops for n in range(1, len(s)) if text.endswith(s[:n])), default=0)
        text = text[: len(text) - longest]
    return text, False


def store(
    workspace: Workspace, model: Model, asked: Request, draft: Draft, facts: Mapping[str, Any] | None = None
) -> list[str]:
    """Put every output of a finished draft into the workspace with all it takes to make it again; returns their ids.

    `facts` are put into each record beside that, for whoever reads it.
    """
    assert model.folder is not None, "only a stored model's outputs can be traced"
    medium = plugins.find("medium", model.design.medium)
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
            "request": table(asked),
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
    item = finished(model, made(Request, record["request"], "request")).items[record["row"]]
    if as_file(plugins.find("medium", model.design.medium), item) != path.read_bytes():
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
