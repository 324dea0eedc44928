"""What the rows of a draft say: texts up to where they end, and things that are whole from the start."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, overload

import numpy as np
from torch import Tensor

from genloom.types import Codec, TokenSpace


@dataclass(frozen=True)
class Draft:
    """The outputs as far as they are."""

    values: Sequence[Any]  # whole: what was prompted as text and what was written
    continuations: Sequence[Any]  # only what the model wrote
    is_finished: tuple[bool, ...]
    num_tokens: tuple[int, ...]  # how many each row has, up to its end; 0 where the model writes none


class TextDecoder:
    """Rows of symbols as what was prompted and what was written; a row that reaches a stop string is marked as ended.

    `stops` are strings, `ends` symbols; `ended` is one flag a row, written in place. With `grows`, a draft begins with
    the draft before.
    """

    def __init__(
        self,
        codec: Any,
        prompts: Sequence[np.ndarray],
        stop: Sequence[str],
        eos_ids: Sequence[int],
        is_finished: np.ndarray,
        is_append_only: bool,
    ):
        self.codec, self.stop, self.eos_ids, self.is_finished = codec, stop, (codec.space.eos, *eos_ids), is_finished
        self.detokenizers = [IncrementalDetokenizer(codec, prompt, is_append_only) for prompt in prompts]

    def __call__(self, rows: Tensor, is_final: bool) -> Draft:
        values, continuations, num_tokens = [], [], []
        for i, (detokenizer, row) in enumerate(zip(self.detokenizers, rows.cpu().numpy(), strict=True)):
            is_eos = np.isin(row, self.eos_ids)
            if is_eos.any():
                row = row[: int(is_eos.argmax())]
            has_holes = bool((row < 0).any())
            continuation = (
                decode_with_holes(self.codec, row)
                if has_holes
                else detokenizer(row, is_final or bool(self.is_finished[i]))
            )
            if isinstance(continuation, str):
                continuation, is_stopped = cut_at_stop(
                    continuation, self.stop, should_hold_back=not (is_final or self.is_finished[i])
                )
                self.is_finished[i] |= is_stopped and not has_holes
                value = detokenizer.prompt_text + continuation
            else:
                value = continuation
            values.append(value)
            continuations.append(continuation)
            num_tokens.append(len(row))
        return Draft(tuple(values), tuple(continuations), tuple(self.is_finished.tolist()), tuple(num_tokens))


class IncrementalDetokenizer:
    """What a row says so far; where it only grows, each symbol is decoded once."""

    def __init__(self, codec: Any, prompt_ids: np.ndarray, is_append_only: bool):
        self.codec, self.prompt_ids = codec, prompt_ids
        # Some vocabularies write a blank before every text; one that goes on has no such blank to leave out.
        is_continuation = len(prompt_ids) > 0 or not hasattr(codec, "decode_continuation")
        self.decode = getattr(codec, "decode_continuation", codec.decode) if is_continuation else codec.decode
        self.stream_decoder = (
            codec.decode_stream() if is_continuation and is_append_only and hasattr(codec, "decode_stream") else None
        )
        self.num_decoded, self.text = 0, ""

    @cached_property
    def prompt_text(self) -> str:
        """What was prompted as text."""
        return self.codec.decode(self.prompt_ids)

    def __call__(self, row: np.ndarray, is_final: bool) -> Any:
        """The value of a row, which begins with the row before; characters may be left out that are not whole."""
        if self.stream_decoder is None or is_final:
            return self.decode(row)
        self.text += self.stream_decoder.feed(row[self.num_decoded :])
        self.num_decoded = len(row)
        return self.text


def decode_with_holes(codec: Codec, row: np.ndarray) -> str:
    """The text of a draft in which some symbols are not written yet, each shown as a dot."""
    runs = np.split(row, np.flatnonzero(np.diff(row < 0)) + 1)
    return "".join("·" * len(run) if run[0] < 0 else codec.decode(run) for run in runs)


def cut_at_stop(text: str, stop: Sequence[str], should_hold_back: bool) -> tuple[str, bool]:
    """Text up to the first stop string, and whether there was one.

    `hold_back` also takes off an end that may become something else: the beginning of a stop string, or a character
    that is not whole.
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
    """Drafts of things that are whole from the start and become better, as pictures do."""

    def __init__(self, codec: Any, postprocess: Callable[[Any], Any] = lambda value: value):
        self.codec, self.postprocess = codec, postprocess

    def __call__(self, rows: Tensor, is_final: bool) -> Draft:
        values = LazyValues(self, rows)
        return Draft(values, values, (is_final,) * len(rows), (0,) * len(rows))


class LazyValues(Sequence[Any]):
    """Values of the rows of a draft, decoded when someone looks: a draft that nobody sees costs nothing."""

    def __init__(self, decoder: ValueDecoder, rows: Tensor):
        self.decoder, self.rows = decoder, rows

    @cached_property
    def values(self) -> list[Any]:
        codec, rows = self.decoder.codec, self.rows.cpu().numpy()
        if isinstance(codec.space, TokenSpace):  # places that are not written yet show some code
            rows = np.pad(rows.clip(0), ((0, 0), (0, prod(codec.space.grid) - rows.shape[1])))
        return [self.decoder.finish(value) for value in codec.decode_many(rows)]

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self.values[index]

    def __len__(self) -> int:
        return len(self.rows)
