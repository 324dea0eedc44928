"""Grammars of generated text: JSON schemas and others, which llguidance turns into the tokens that may follow.

A grammar is what `llguidance` calls a grammar: JSON with "json_schema", "lark_grammar" or "regex" in a list "grammars".
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from genloom.capabilities import get_special_tokens
from genloom.errors import GenloomError

if TYPE_CHECKING:
    from llguidance import LLTokenizer

MAX_SCHEMA_CHARS = 200_000


def build_json_grammar(schema: Mapping[str, Any] | bool) -> str:
    """Return the grammar of the JSON values that a schema allows, without blanks between them."""
    compact = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": ", "coerce_one_of": True}
    table = {"x-guidance": compact, **schema} if isinstance(schema, Mapping) else {"x-guidance": compact}
    return json.dumps({"grammars": [{"json_schema": table}]})


def check_grammar(grammar: str) -> None:
    """Raise GenloomError if a grammar is too long, or cannot be kept to in full."""
    llguidance = import_llguidance()
    if len(grammar) > MAX_SCHEMA_CHARS:
        raise GenloomError("generate.grammar_too_long", size=len(grammar), limit=MAX_SCHEMA_CHARS)
    has_error, messages = llguidance.LLMatcher.validate_grammar_with_warnings(grammar)
    if has_error or messages:
        raise GenloomError("generate.bad_grammar", reason=first_line(messages[0]))


def first_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[0].rstrip(".")


def import_llguidance() -> Any:
    """Return the library; raise GenloomError that says how to install it."""
    try:
        import llguidance
    except ImportError:
        raise GenloomError("generate.grammar_package_missing") from None
    return llguidance


class GrammarConstraint:
    """The tokens that a grammar allows next in each row."""

    def __init__(self, tokenizer: "LLTokenizer", grammar: str, eos_ids: Sequence[int], prompt_lengths: Sequence[int]):
        llguidance = import_llguidance()
        self.eos_ids, self.num_read = list(eos_ids), list(prompt_lengths)
        self.matchers = [llguidance.LLMatcher(tokenizer, grammar) for _ in prompt_lengths]
        for matcher in self.matchers[:1]:
            if matcher.is_error():
                raise GenloomError("generate.bad_grammar", reason=first_line(matcher.get_error()))

    def __call__(self, contexts: Sequence[np.ndarray], /) -> np.ndarray:
        return np.stack([self._allow_tokens(row, context) for row, context in enumerate(contexts)])

    def describe(self) -> list[str]:
        return [""] * len(self.matchers)

    def _allow_tokens(self, row: int, context: np.ndarray) -> np.ndarray:
        matcher = self.matchers[row]
        for token in context[self.num_read[row] :].tolist():
            if not matcher.is_stopped() and not matcher.consume_token(token):
                raise GenloomError("generate.bad_grammar", reason=first_line(matcher.get_error()))
        self.num_read[row] = len(context)
        is_allowed = np.frombuffer(matcher.compute_logit_bias(), np.uint8) > 0
        if matcher.is_error():
            raise GenloomError("generate.bad_grammar", reason=first_line(matcher.get_error()))
        if matcher.is_stopped() or not is_allowed.any():
            is_allowed = np.zeros_like(is_allowed)
            is_allowed[self.eos_ids] = True
        return is_allowed


class TokenTable:
    """A codec's vocabulary as llguidance reads it."""

    def __init__(self, codec: Any, eos_ids: Sequence[int]):
        size = codec.space.vocab_size
        self.codec, self.eos_token_id, self.bos_token_id = codec, eos_ids[0], codec.space.bos
        special_names = {token: name for name, token in get_special_tokens(codec).items()}
        self.special_token_ids = sorted({*special_names, *eos_ids, codec.space.bos})
        self.tokens = [codec.decode_bytes([token]) for token in range(size)]
        for token in self.special_token_ids:
            self.tokens[token] = special_names.get(token, f"<|special {token}|>").encode()

    def __call__(self, text: str) -> list[int]:
        if not isinstance(text, str):
            raise TypeError("text only")
        return self.codec.encode(text).tolist()


@lru_cache(maxsize=8)
def build_tokenizer(codec: Any, eos_ids: tuple[int, ...]) -> "LLTokenizer":
    """Return the vocabulary of a codec in llguidance; it takes a moment for a large one."""
    llguidance = import_llguidance()
    wrapper = llguidance.TokenizerWrapper(TokenTable(codec, eos_ids))
    return llguidance.LLTokenizer(wrapper, n_vocab=codec.space.vocab_size, eos_token=list(eos_ids))


def build_grammar_constraint(
    codec: Any, grammar: str, eos_ids: Sequence[int], prompt_ids: Sequence[np.ndarray]
) -> GrammarConstraint:
    """Return the constraint of rows that begin with these prompts; raise GenloomError for a grammar with a fault."""
    check_grammar(grammar)
    all_eos_ids = tuple(dict.fromkeys((codec.space.eos, *eos_ids)))
    tokenizer = build_tokenizer(codec, all_eos_ids)
    return GrammarConstraint(tokenizer, grammar, all_eos_ids, [max(len(ids), 1) for ids in prompt_ids])
