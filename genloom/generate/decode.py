"""Decoding of drafts: text that grows up to its end, and values that are complete from the first draft."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, overload

import numpy as np
from torch import Tensor

from genloom.capabilities import ContinuationCodec, StreamingCodec
from genloom.generate import loops
from genloom.types import Codec, TokenSpace


@dataclass(frozen=True)
class Draft:
    """The outputs at one step of sampling."""

    values: Sequence[Any]  # complete values: the prompt, where it is their beginning, and its continuation
    continuations: Sequence[Any]  # of text, without the prompt; else the values
    is_finished: tuple[bool, ...]
    num_tokens: tuple[int, ...]  # generated per row, up to its end; 0 if the model does not generate tokens
    token_ids: Sequence[tuple[int, ...]] = ()  # per row, with the token that ends it; (): none, or not final
    has_loop: tuple[bool, ...] = ()  # per row of text, whether it ended because it repeats itself


class TextDecoder:
    """Decodes rows of tokens to prompt and continuation, and marks rows of text that reach a stop string as finished.

    `stop` are strings and `eos_ids` tokens. `is_finished` has a flag per row and is written in place. With
    `is_append_only`, a draft begins with the previous one. `keep_partial` ends a text that is cut inside a character
    with U+FFFD. `stop_loops` also ends a row of text that repeats itself. Without `has_prompt`, texts stand alone.
    `decode_row` makes the text of a whole row in place of the codec.
    Values that are not text are decoded when they are looked at, since a draft of them is seldom shown; `postprocess`
    makes the result of each.
    """

    def __init__(
        self,
        codec: Any,
        prompts: Sequence[np.ndarray],
        stop: Sequence[str],
        eos_ids: Sequence[int],
        is_finished: np.ndarray,
        is_append_only: bool,
        keep_partial: bool = False,
        stop_loops: bool = False,
        postprocess: Callable[[Any], Any] = lambda value: value,
        has_prompt: bool = True,
        decode_row: Callable[[np.ndarray], str] | None = None,
    ):
        self.decode_row = decode_row
        self.has_prompt = has_prompt
        self.stop_loops, self.has_loop, self.postprocess = stop_loops, [False] * len(prompts), postprocess
        self.codec, self.stop, self.is_finished = codec, stop, is_finished
        self.eos_ids, self.is_text = np.array([codec.space.eos, *eos_ids]), isinstance(codec, StreamingCodec)
        self.detokenizers = [IncrementalDetokenizer(codec, prompt, is_append_only, keep_partial) for prompt in prompts]

    def __call__(self, rows: Tensor, is_final: bool) -> Draft:
        values, continuations, num_tokens, token_ids = [], [], [], []
        is_text = self.is_text
        for i, (detokenizer, row) in enumerate(zip(self.detokenizers, rows.cpu().numpy(), strict=True)):
            ended_row = row
            is_eos = (row[:, None] == self.eos_ids).any(1)
            if is_eos.any():
                row, ended_row = row[: int(is_eos.argmax())], row[: int(is_eos.argmax()) + 1]
            is_last = is_final or bool(self.is_finished[i])
            has_holes = bool((row < 0).any())
            if is_text and self.decode_row is not None:
                values.append(self.decode_row(row))
                continuations.append(values[-1])
            elif is_text:
                text = decode_with_holes(self.codec, row) if has_holes else detokenizer(row, is_last)
                continuation, is_stopped = cut_at_stop(text, self.stop, should_hold_back=not is_last)
                if self.stop_loops and not (is_stopped or has_holes or is_last):
                    self.has_loop[i] = loops.has_loop(text)
                self.is_finished[i] |= (is_stopped or self.has_loop[i]) and not has_holes
                if is_stopped and is_final:
                    ended_row = cut_tokens(detokenizer.decode, row, continuation)
                values.append(detokenizer.prompt_text + continuation if self.has_prompt else continuation)
                continuations.append(continuation)
            else:
                values.append(np.concatenate([detokenizer.prompt_ids, row[row >= 0]]))
            num_tokens.append(len(row))
            token_ids.append(tuple(ended_row.tolist()))
        decoded = None if is_text else LazyValues(len(values), lambda: self._decode(values))
        is_finished = tuple(self.is_finished.tolist())
        return Draft(
            tuple(values) if decoded is None else decoded,
            tuple(continuations) if decoded is None else decoded,
            is_finished,
            tuple(num_tokens),
            tuple(token_ids) if is_final else (),
            tuple(self.has_loop),
        )

    def _decode(self, rows: Sequence[np.ndarray]) -> list[Any]:
        return [self.postprocess(self.codec.decode(ids)) for ids in rows]


def cut_tokens(decode: Callable[[np.ndarray], str], row: np.ndarray, text: str) -> np.ndarray:
    """Return the tokens of a row that was cut to `text` at a stop string, without those of the stop string."""
    length = len(row)
    while length and len(decode(row[:length])) > len(text):
        length -= 1
    return row[:length]


class IncrementalDetokenizer:
    """Decodes a growing row; if the row is append-only, each token is decoded once."""

    def __init__(self, codec: Any, prompt_ids: np.ndarray, is_append_only: bool, keep_partial: bool = False):
        self.codec, self.prompt_ids, self.keep_partial = codec, prompt_ids, keep_partial
        # Some tokenizers add a space before every text; `decode_continuation` expects no such space to remove.
        is_continuation = len(prompt_ids) > 0 or not isinstance(codec, ContinuationCodec)
        has_own_decoder = is_continuation and isinstance(codec, ContinuationCodec)
        self.decode = codec.decode_continuation if has_own_decoder else codec.decode
        can_stream = is_continuation and is_append_only and isinstance(codec, StreamingCodec)
        self.stream_decoder = codec.decode_stream() if can_stream else None
        self.num_decoded, self.text = 0, ""

    @cached_property
    def prompt_text(self) -> str:
        """The text of the prompt."""
        return self.codec.decode(self.prompt_ids)

    def __call__(self, row: np.ndarray, is_final: bool) -> str:
        """Decode a row that begins with the previous one; incomplete characters at its end may be missing."""
        if self.stream_decoder is None or is_final:
            text = self.decode(row)
            return text[: len(text) - 1] if is_final and self._ends_inside_character(row, text) else text
        self.text += self.stream_decoder.feed(row[self.num_decoded :])
        self.num_decoded = len(row)
        return self.text

    def _ends_inside_character(self, row: np.ndarray, text: str) -> bool:
        """Return whether the end of the row cuts a character, as that of a budget may: it is left off."""
        if self.keep_partial or not text.endswith("\ufffd") or not isinstance(self.codec, StreamingCodec):
            return False
        stream = self.codec.decode_stream()
        stream.feed(row)
        return stream.finish() != ""


def decode_with_holes(codec: Codec, row: np.ndarray) -> str:
    """Decode a draft of a masked model, with a dot for each token that is still masked."""
    runs = np.split(row, np.flatnonzero(np.diff(row < 0)) + 1)
    return "".join("·" * len(run) if run[0] < 0 else codec.decode(run) for run in runs)


def cut_at_stop(text: str, stop: Sequence[str], should_hold_back: bool) -> tuple[str, bool]:
    """Cut text at the first stop string, and tell whether there was one.

    `should_hold_back` also removes an end that may still change: the beginning of a stop string, or an incomplete
    character.
    """
    positions = [at for at in (text.find(s) for s in stop if s) if at >= 0]
    if positions:
        return text[: min(positions)], True
    if should_hold_back:
        text = text.rstrip("\ufffd")
        held_length = max((n for s in stop for n in range(1, len(s)) if text.endswith(s[:n])), default=0)
        text = text[: len(text) - held_length]
    return text, False


class ValueDecoder:
    """Decodes drafts of values that are complete from the first draft and improve, as images are.

    `grid` is the shape of a grid of tokens of another size than the codec's; (): that of the codec.
    """

    def __init__(
        self, codec: Any, postprocess_rows: Callable[[list[Any]], list[Any]] = list, grid: tuple[int, ...] = ()
    ):
        self.codec, self.postprocess_rows, self.grid = codec, postprocess_rows, grid

    def __call__(self, rows: Tensor, is_final: bool) -> Draft:
        values = LazyValues(len(rows), lambda: self._decode(rows))
        has_ids = is_final and isinstance(self.codec.space, TokenSpace)
        return Draft(
            values,
            values,
            (is_final,) * len(rows),
            (0,) * len(rows),
            tuple(map(tuple, rows.tolist())) if has_ids else (),
        )

    def _decode(self, rows_BL: Tensor) -> list[Any]:
        rows = rows_BL.cpu().numpy()
        if isinstance(self.codec.space, TokenSpace):  # positions without a token yet show an arbitrary one
            grid = self.grid or self.codec.space.grid
            rows = np.pad(rows.clip(0), ((0, 0), (0, prod(grid) - rows.shape[1])))
            rows = rows.reshape(len(rows), *grid) if self.grid else rows
        return self.postprocess_rows(self.codec.decode_many(rows))


class LazyValues(Sequence[Any]):
    """The values of a draft, decoded on first access: a draft that is not shown costs nothing."""

    def __init__(self, count: int, decode: Callable[[], list[Any]]):
        self.num_values, self.decode = count, decode

    @cached_property
    def values(self) -> list[Any]:
        return self.decode()

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self.values[index]

    def __len__(self) -> int:
        return self.num_values
