"""Blanks in a prompt, which a masked model fills: "The [MASK] saw the sea." Each is one token of the model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from genloom.capabilities import StreamingCodec, get_special_tokens
from genloom.errors import GenloomError
from genloom.generate.editing import LoadBlob, SamplerStart, SaveBlob, list_inputs
from genloom.model import Model

if TYPE_CHECKING:
    from genloom.generate.engine import Request

BLANK = "[MASK]"  # as BERT's tokenizer and its users write it
RECORD_KEY = "blanks"  # of an edit in the record of an output


@dataclass(frozen=True)
class BlankEdit:
    """A text with blanks; the rest of it stays."""

    text: str

    def prepare(self, model: Model, request: "Request") -> SamplerStart:
        """Return the known tokens of each row, after BOS, with -1 for each blank."""
        codec: Any = model.codec
        texts = self.text.split(BLANK)
        parts = texts
        if len(codec.encode(" a")) == 1:  # a token holds the space before its word
            parts = [*(part.removesuffix(" ") for part in texts[:-1]), texts[-1]]
        encoded_parts = [list(map(int, codec.encode(part))) if part else [] for part in parts]
        ids: list[int] = [codec.space.bos]
        for number, part_ids in enumerate(encoded_parts):
            ids += [-1] * bool(number) + part_ids
        ids.append(codec.space.eos)
        if len(ids) > (maximum := model.design.context_length):
            raise GenloomError("generate.source_too_long", num_tokens=len(ids) - 2, maximum=maximum - 2)
        inputs = {
            "known_ids": np.tile(np.array(ids, np.int64), (len(request.prompts), 1)),
            "suppressed_tokens": tuple({codec.space.bos, codec.space.eos, *get_special_tokens(codec).values()}),
        }
        is_lossless = all(codec.decode(row) == part for row, part in zip(encoded_parts, parts, strict=True))
        return SamplerStart(inputs, decode_row=None if is_lossless else self._build_decoder(codec, ids, texts))

    def _build_decoder(self, codec: Any, ids: list[int], texts: list[str]) -> Callable[[np.ndarray], str]:
        """Return the function from a row to its text, in which the codec's losses (capitals, blanks) are undone."""
        blanks = [position - 1 for position, token_id in enumerate(ids) if token_id < 0]  # rows have no BOS

        def decode_row(row: np.ndarray) -> str:
            words = ["·" if row[position] < 0 else codec.decode(row[position : position + 1]) for position in blanks]
            joints = [" " if not text and 0 < number < len(blanks) else "" for number, text in enumerate(texts)]
            rest = zip(words, joints[1:], texts[1:], strict=True)
            return texts[0] + "".join(word + joint + text for word, joint, text in rest)

        return decode_row

    def pack(self, medium: Any, save_blob: SaveBlob) -> dict[str, Any]:
        """Return the edit for a record."""
        return {RECORD_KEY: self.text}


def fill_blanks(model: Model, request: "Request") -> "Request":
    """Return the request with the blanks of its prompt as an edit, if the prompt has any and the model can fill them.

    Raise GenloomError (generate.blanks_differ) for several prompts: one request fills the blanks of one.
    """
    has_blanks = any(BLANK in prompt for prompt in request.prompts)
    can_fill = isinstance(model.codec, StreamingCodec) and "known_ids" in list_inputs(model)
    if not (has_blanks and can_fill) or request.edit is not None:
        return request
    if len(set(request.prompts)) > 1:
        raise GenloomError("generate.blanks_differ", count=len(set(request.prompts)))
    edit = BlankEdit(request.prompts[0])
    return replace(request, edit=edit, prompts=("",) * len(request.prompts))


def unpack_blanks(record: Mapping[str, Any], load_blob: LoadBlob) -> BlankEdit | None:
    """Return the edit of a record; None if it is another one."""
    return BlankEdit(str(record[RECORD_KEY])) if RECORD_KEY in record else None
