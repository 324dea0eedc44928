"""What the rows of a draft say: texts up to where they end, and things that are whole from the start."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, overload

import numpy as np
from torch import Tensor

from genloom.types import Codec, Tokens


@dataclass(frozen=True)
class Draft:
    """The outputs as far as they are."""

    items: Sequence[Any]  # whole: what was prompted as text and what was written
    written: Sequence[Any]  # only what the model wrote
    ended: tuple[bool, ...]
    symbols: tuple[int, ...]  # how many each row has, up to its end; 0 where the model writes none


class Texts:
    """Rows of symbols as what was prompted and what was written; a row that reaches a stop string is marked as ended.

    `stops` are strings, `ends` symbols; `ended` is one flag a row, written in place. With `grows`, a draft begins with
    the draft before.
    """

    def __init__(
        self,
        codec: Any,
        prompts: Sequence[np.ndarray],
        stops: Sequence[str],
        ends: Sequence[int],
        ended: np.ndarray,
        grows: bool,
    ):
        self.codec, self.stops, self.ends, self.ended = codec, stops, (codec.space.stop, *ends), ended
        self.heard = [Heard(codec, prompt, grows) for prompt in prompts]

    def __call__(self, rows: Tensor, final: bool) -> Draft:
        items, written, symbols = [], [], []
        for i, (said, row) in enumerate(zip(self.heard, rows.cpu().numpy(), strict=True)):
            ends = np.isin(row, self.ends)
            if ends.any():
                row = row[: int(ends.argmax())]
            holes = bool((row < 0).any())
            news = with_holes(self.codec, row) if holes else said(row, final or bool(self.ended[i]))
            if isinstance(news, str):
                news, hit = until(news, self.stops, hold_back=not (final or self.ended[i]))
                self.ended[i] |= hit and not holes
                whole = said.start + news
            else:
                whole = news
            items.append(whole)
            written.append(news)
            symbols.append(len(row))
        return Draft(tuple(items), tuple(written), tuple(self.ended.tolist()), tuple(symbols))


class Heard:
    """What a row says so far; where it only grows, each symbol is decoded once."""

    def __init__(self, codec: Any, prompt: np.ndarray, grows: bool):
        self.codec, self.prompt = codec, prompt
        # Some vocabularies write a blank before every text; one that goes on has no such blank to leave out.
        goes_on = len(prompt) > 0 or not hasattr(codec, "after")
        self.told = getattr(codec, "after", codec.decode) if goes_on else codec.decode
        self.stream = codec.stream() if goes_on and grows and hasattr(codec, "stream") else None
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


class Whole:
    """Drafts of things that are whole from the start and become better, as pictures do."""

    def __init__(self, codec: Any, finish: Callable[[Any], Any] = lambda value: value):
        self.codec, self.finish = codec, finish

    def __call__(self, rows: Tensor, final: bool) -> Draft:
        items = Decoded(self, rows)
        return Draft(items, items, (final,) * len(rows), (0,) * len(rows))


class Decoded(Sequence[Any]):
    """Values of the rows of a draft, decoded when someone looks: a draft that nobody sees costs nothing."""

    def __init__(self, whole: Whole, rows: Tensor):
        self.whole, self.rows = whole, rows

    @cached_property
    def values(self) -> list[Any]:
        codec, rows = self.whole.codec, self.rows.cpu().numpy()
        if isinstance(codec.space, Tokens):  # places that are not written yet show some code
            rows = np.pad(rows.clip(0), ((0, 0), (0, prod(codec.space.grid) - rows.shape[1])))
        return [self.whole.finish(value) for value in codec.decode_many(rows)]

    @overload
    def __getitem__(self, at: int) -> Any: ...
    @overload
    def __getitem__(self, at: slice) -> list[Any]: ...
    def __getitem__(self, at: int | slice) -> Any:
        return self.values[at]

    def __len__(self) -> int:
        return len(self.rows)
