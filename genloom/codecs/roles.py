"""How a conversation is written as symbols: markers may hold special symbols, what people say never does."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from genloom.codecs.settings import read_json
from genloom.codecs.symbols import mended
from genloom.settings import made
from genloom.types import Message

ROLES = ("system", "user", "assistant")
_FILE = "chat.json"


@dataclass(frozen=True)
class Roles:
    """The text around each turn. The marker `<|im_start|>` is the special symbol of that name, wherever it stands."""

    before: Mapping[str, str]  # role -> what stands before its content, "<|im_start|>user\n"
    after: Mapping[str, str]  # role -> what stands after it, "<|im_end|>\n"
    stops: tuple[str, ...]  # special symbols that end an answer
    system: str = ""  # the system turn where the conversation has none; "": none is written
    start: str = ""  # what stands before everything, "<s>"
    joined: str | None = None  # before a user's turn that follows a system turn, where that differs (Llama 2)
    reply: str | None = None  # what opens the answer to be written, where it differs from before["assistant"]
    trims: bool = False  # whether blanks around a content are left out

    def __post_init__(self) -> None:
        for markers in (self.before, self.after):
            if unknown := sorted(set(markers) - set(ROLES)):
                raise ValueError(f"There is no role {unknown[0]!r}: a conversation has {', '.join(ROLES)}.")
        if not self.stops or not {"user", "assistant"} <= set(self.before):
            raise ValueError("A conversation needs markers for user and assistant, and a symbol that ends an answer.")


# The roles of the codecs that are learned here.
PLAIN = Roles(
    before={role: f"<|{role}|>" for role in ROLES},
    after={"assistant": "<|stop|>"},
    stops=("<|stop|>",),
    start="<|stop|>",
)


class Speaking(Protocol):
    """What a codec needs so that conversations can be written with it."""

    @property
    def roles(self) -> Roles | None: ...

    @property
    def specials(self) -> dict[str, int]: ...

    def encode(self, value: str) -> np.ndarray: ...

    def bytes_of(self, ids: Sequence[int] | np.ndarray) -> bytes: ...


def written(codec: Speaking, messages: Sequence[Message], reply: bool) -> tuple[np.ndarray, np.ndarray]:
    """The conversation as ids (L, int64), and which of them the assistant has to write (L, bool).

    Those are its contents, each with the stop after it. With `reply` the ids end with the marker that opens an answer.
    The name of a special symbol inside a content is plain text. Raises ValueError where the codec has no roles, or
    not the role of a message.
    """
    roles = roles_of(codec)
    ids: list[np.ndarray] = []
    answered: list[np.ndarray] = []
    run: list[tuple[str, bool]] = []

    def end_run() -> None:
        if run:
            encoded, mine = _run(codec, run)
            ids.append(encoded)
            answered.append(mine)
            run.clear()

    for text, marker, mine in _pieces(roles, messages, reply):
        for part in _split(text, codec.specials) if marker else [text]:
            if marker and part in codec.specials:
                end_run()
                ids.append(np.array([codec.specials[part]]))
                answered.append(np.array([mine]))
            elif part:
                run.append((part, mine))
    end_run()
    if not ids:
        return np.empty(0, np.int64), np.empty(0, bool)
    return np.concatenate(ids).astype(np.int64), np.concatenate(answered)


def stop_ids(codec: Speaking) -> tuple[int, ...]:
    """The symbols that end an answer."""
    return tuple(codec.specials[stop] for stop in roles_of(codec).stops)


def roles_of(codec: Speaking) -> Roles:
    """The codec's roles; ValueError where it has none."""
    if codec.roles is None:
        raise ValueError(
            "This model knows no roles: nothing says how a conversation is written for it. "
            "Use genloom generate, or train it on conversations first."
        )
    return codec.roles


def save_roles(roles: Roles | None, folder: Path) -> None:
    """Write `chat.json` into a codec's folder, where there are roles."""
    if roles is not None:
        (folder / _FILE).write_text(json.dumps(asdict(roles), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load_roles(folder: Path, specials: Mapping[str, int]) -> Roles | None:
    """The roles in a codec's folder, None where it has none; ValueError names the file that is damaged."""
    path = folder / _FILE
    if not path.exists():
        return None
    try:
        roles = made(Roles, read_json(path), "roles")
        if missing := [stop for stop in roles.stops if stop not in specials]:
            raise ValueError(f"the codec has no special symbol {missing[0]!r}")
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} can't be used: {error}. Restore the model's folder or import it again.") from error
    return roles


def _pieces(roles: Roles, messages: Sequence[Message], reply: bool) -> Iterator[tuple[str, bool, bool]]:
    """Each piece of text, whether it is a marker, and whether the assistant has to write it."""
    yield roles.start, True, False
    if roles.system and not (messages and messages[0].role == "system"):
        messages = [Message("system", roles.system), *messages]
    last = ""
    for message in messages:
        role = message.role
        if role not in roles.before:
            raise ValueError(f"This model's conversations have no role {role!r}; there is {', '.join(roles.before)}.")
        joined = role == "user" and last == "system" and roles.joined is not None
        yield (roles.joined or "" if joined else roles.before[role]), True, False
        yield (message.content.strip() if roles.trims else message.content), False, role == "assistant"
        after = roles.after.get(role, "")
        stop = max((after.find(s) + len(s) for s in roles.stops if s in after), default=0)
        yield after[:stop], True, role == "assistant"
        yield after[stop:], True, False
        last = role
    if reply:
        yield (roles.before["assistant"] if roles.reply is None else roles.reply), True, False


def _split(marker: str, specials: Mapping[str, int]) -> list[str]:
    """A marker cut at the special symbols in it, longest names first."""
    inside = sorted((name for name in specials if name in marker), key=len, reverse=True)
    return re.split(f"({'|'.join(map(re.escape, inside))})", marker) if inside else [marker]


def _run(codec: Speaking, run: list[tuple[str, bool]]) -> tuple[np.ndarray, np.ndarray]:
    """Text between two special symbols is encoded as one, as the model has seen it; each id is its last byte's."""
    ids = np.asarray(codec.encode("".join(text for text, _ in run)))
    of_bytes = np.concatenate([np.full(len(mended(text).encode()), mine) for text, mine in run])
    if not len(ids) or not of_bytes.any() or of_bytes.all():
        return ids, np.full(len(ids), bool(of_bytes.all()))
    ends = np.cumsum([len(codec.bytes_of(ids[i : i + 1])) for i in range(len(ids))])
    ends -= ends[-1] - len(of_bytes)  # some vocabularies write a blank before the text
    return ids, of_bytes[np.clip(ends - 1, 0, len(of_bytes) - 1)]
