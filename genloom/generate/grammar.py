"""Grammars of generated text, which llguidance turns into the tokens that may follow.

A grammar is what `llguidance` calls a grammar: JSON with "json_schema", "lark_grammar" or "regex" in a list "grammars".
`genloom.generate.output_format` builds those of the formats that people ask for.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from genloom.capabilities import get_special_tokens
from genloom.errors import GenloomError

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

MAX_SCHEMA_CHARS = 200_000
_PLACE = re.compile(r"(?:at )?(\d+)\((\d+)\): ")
_MAX_REASON_CHARS, _MAX_MARKED_CHARS = 500, 40
_NEEDS_VOCABULARY = "no tokenizer - can't validate <special_token>"
# Work of a format, in the units of llguidance's LLParserLimits: what one may cost to build, and each of its tokens.
LIMITS = {
    "initial_lexer_fuel": 1_000_000,
    "step_lexer_fuel": 200_000,
    "step_max_items": 50_000,
    "max_lexer_states": 50_000,
    "max_grammar_size": 200_000,
    "verbose_errors": False,
}


def build_json_grammar(schema: Mapping[str, Any] | bool) -> str:
    """Return the grammar of the JSON values that a schema allows, without blanks between them."""
    compact = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": ", "coerce_one_of": False}
    assert schema is not False, "no value fits it"
    # Last, so that no schema can ask for less.
    table = {**(schema if isinstance(schema, Mapping) else {}), "x-guidance": compact}
    return json.dumps({"grammars": [{"json_schema": table}]})


@lru_cache(maxsize=64)
def check_grammar(grammar: str) -> None:
    """Raise GenloomError if a grammar is too long, too complex, or cannot be kept to in full."""
    llguidance = import_llguidance()
    if len(grammar) > MAX_SCHEMA_CHARS:
        raise GenloomError("generate.grammar_too_long", size=len(grammar), limit=MAX_SCHEMA_CHARS)
    has_error, messages = llguidance.LLMatcher.validate_grammar_with_warnings(grammar, limits=build_limits())
    # Only a vocabulary tells whether it has a special token: `build_matcher` asks it.
    if (has_error or messages) and not messages[0].startswith(_NEEDS_VOCABULARY):
        raise GenloomError("generate.bad_grammar", reason=explain_fault(messages[0]))


def explain_fault(text: str) -> str:
    """Return one sentence, with the place, of what llguidance says about a grammar in several lines."""
    lines = text.strip().splitlines() or [""]
    place = _PLACE.match(lines[0])
    start = f"line {place[1]}, column {place[2]}: " if place else ""
    if reason := next((line for line in lines if line.startswith("error: ")), ""):  # of a regular expression
        return f"{start}{reason.removeprefix('error: ').rstrip('.')}{_quote_marked(lines)}"[:_MAX_REASON_CHARS]
    return f"{start}{lines[0][place.end() if place else 0 :].rstrip('.')}"[:_MAX_REASON_CHARS]


def _quote_marked(lines: Sequence[str]) -> str:
    """Return the text above the mark in a report on a regular expression; "" if it has several lines."""
    for above, mark in pairwise(lines):
        column = mark.find("^")
        if column >= 0 and not mark.strip(" ^") and above[:column].strip() + above[column:].strip():
            marked = above[column:].strip()
            return f' at "{marked if len(marked) <= _MAX_MARKED_CHARS else marked[:_MAX_MARKED_CHARS] + "…"}"'
    return ""


def import_llguidance() -> Any:
    """Return the library; raise GenloomError that says how to install it."""
    try:
        import llguidance
    except ImportError:
        raise GenloomError("generate.grammar_package_missing") from None
    return llguidance


def build_limits() -> Any:
    return import_llguidance().LLParserLimits(**LIMITS)


@dataclass
class Row:
    """The place of one text in the grammar."""

    matcher: "LLMatcher"
    num_read: int  # tokens of the prompt and of what was written since
    has_ended: bool = False


class GrammarConstraint:
    """The tokens that a grammar allows next in each row, which begins where it is first asked about."""

    def __init__(self, codec: Any, grammar: str, eos_ids: tuple[int, ...]):
        check_matcher(codec, grammar, eos_ids)
        self.codec, self.grammar, self.eos_ids = codec, grammar, eos_ids
        self.rows: list[Row] = []

    def __call__(self, contexts: Sequence[np.ndarray]) -> np.ndarray:
        self._read(contexts)
        if len(self.rows) == 1:
            return self._allow_tokens(self.rows[0])[None]
        return np.stack([self._allow_tokens(row) for row in self.rows])

    def describe(self) -> list[str]:
        return [""] * len(self.rows)

    def predict_tokens(self, contexts: Sequence[np.ndarray]) -> list[int]:
        """Return the tokens that the grammar most likely makes follow in the only row; [] where it leaves a choice."""
        self._read(contexts)
        (row,) = self.rows
        return [] if row.has_ended or row.matcher.is_stopped() else row.matcher.compute_ff_tokens()

    def _read(self, contexts: Sequence[np.ndarray]) -> None:
        if not self.rows:
            matcher = build_matcher(self.codec, self.grammar, self.eos_ids)
            self.rows = [Row(matcher.deep_copy(), len(context)) for context in contexts]
        for row, context in zip(self.rows, contexts, strict=True):
            for token in context[row.num_read :].tolist():
                row.has_ended |= token in self.eos_ids  # also of a row that a stop string ended
                if not row.has_ended and not row.matcher.consume_token(token):
                    raise build_grammar_error(row.matcher.get_error())
            row.num_read = len(context)

    def _allow_tokens(self, row: Row) -> np.ndarray:
        matcher = row.matcher
        if not (row.has_ended or matcher.is_stopped()):
            is_allowed = np.frombuffer(matcher.compute_logit_bias(), np.uint8) > 0
            if matcher.is_error():
                raise build_grammar_error(matcher.get_error())
            if is_allowed.any():
                return is_allowed
            if not matcher.is_accepting():
                raise GenloomError("generate.grammar_dead_end")
        is_allowed = np.zeros(self.codec.space.vocab_size, bool)
        is_allowed[list(self.eos_ids)] = True
        return is_allowed


def build_grammar_error(reason: str) -> GenloomError:
    """Return the error of a grammar that a token or the limits of work ended."""
    is_complex = any(word in reason for word in ("fuel", "TooComplex", "too many", "too big", "too complex", "limit"))
    if is_complex:
        return GenloomError("generate.grammar_too_complex", reason=explain_fault(reason))
    if "NoExtensionBias" in reason:  # no token may follow
        return GenloomError("generate.grammar_dead_end")
    return GenloomError("generate.bad_grammar", reason=explain_fault(reason))


class TokenTable:
    """A codec's vocabulary as llguidance reads it."""

    def __init__(self, codec: Any, eos_ids: Sequence[int]):
        size = codec.space.vocab_size
        self.codec, self.eos_token_id, self.bos_token_id = codec, eos_ids[0], codec.space.bos
        special_names = {token: name for name, token in get_special_tokens(codec).items()}
        self.special_token_ids = sorted({*special_names, *eos_ids, codec.space.bos})
        self.tokens = [codec.decode_bytes([token]) for token in range(size)]
        for token in self.special_token_ids:
            self.tokens[token] = quote_special(special_names.get(token, f"special {token}")).encode()

    def __call__(self, text: str) -> list[int]:
        if not isinstance(text, str):
            raise TypeError("text only")
        return self.codec.encode(text).tolist()


def quote_special(name: str) -> str:
    """Return a special token as grammars name it: `<|im_end|>`, and `<|[TOOL_CALLS]|>` for [TOOL_CALLS]."""
    return name if name.startswith("<") and name.endswith(">") else f"<|{name.replace(' ', '_')}|>"


@lru_cache(maxsize=8)
def build_tokenizer(codec: Any, eos_ids: tuple[int, ...]) -> "LLTokenizer":
    """Return the vocabulary of a codec in llguidance; it takes a moment for a large one."""
    llguidance = import_llguidance()
    wrapper = llguidance.TokenizerWrapper(TokenTable(codec, eos_ids))
    return llguidance.LLTokenizer(wrapper, n_vocab=codec.space.vocab_size, eos_token=list(eos_ids))


@lru_cache(maxsize=64)
def check_matcher(codec: Any, grammar: str, eos_ids: tuple[int, ...]) -> None:
    """Raise GenloomError for a grammar that no text fits, or that takes too much work from the beginning."""
    check_grammar(grammar)
    matcher = build_matcher(codec, grammar, eos_ids)
    has_tokens = (np.frombuffer(matcher.compute_logit_bias(), np.uint8) > 0).any()
    if matcher.is_error():
        raise build_grammar_error(matcher.get_error())
    if not has_tokens:
        raise GenloomError("generate.grammar_dead_end")


def build_matcher(codec: Any, grammar: str, eos_ids: tuple[int, ...]) -> "LLMatcher":
    """Return the beginning of every text in a grammar, for one request: its copies share the limits of work."""
    tokenizer = build_tokenizer(codec, eos_ids)
    matcher = import_llguidance().LLMatcher(tokenizer, grammar, log_level=0, limits=build_limits())
    if matcher.is_error():
        raise build_grammar_error(matcher.get_error())
    return matcher


def list_eos_ids(codec: Any, eos_ids: Sequence[int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys((codec.space.eos, *eos_ids)))


def build_grammar_constraint(codec: Any, grammar: str, eos_ids: Sequence[int]) -> GrammarConstraint:
    """Return the constraint of the rows of a request; raise GenloomError for a grammar with a fault."""
    return GrammarConstraint(codec, grammar, list_eos_ids(codec, eos_ids))


def fits_grammar(codec: Any, grammar: str, eos_ids: Sequence[int], token_ids: Sequence[int]) -> bool:
    """Return whether the tokens of a text, with or without the one that ends it, are all of what a grammar asks."""
    all_eos_ids = list_eos_ids(codec, eos_ids)
    matcher = build_matcher(codec, grammar, all_eos_ids)
    for token in token_ids:
        if token in all_eos_ids:
            break
        if matcher.is_stopped() or not matcher.consume_token(token):
            return False
    return not matcher.is_error() and (matcher.is_stopped() or matcher.is_accepting())
