"""What every kind of file is read into: a config, tensors that load when asked for, a vocabulary, its origin."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from genloom.codecs import tokenizer
from genloom.exchange.architectures import Shape
from genloom.exchange.templates import recognised
from genloom.exchange.weights import Load
from genloom.store import files


@dataclass(frozen=True)
class Source:
    """A model elsewhere. Config and the names of `tensors` are Hugging Face's; `own` takes the file's own names."""

    config: Mapping
    tensors: Mapping[str, Load]
    own: Callable[[str], Tensor | None]
    gguf: bool
    codec: tokenizer.Codec
    paths: tuple[Path, ...]  # of the files that hold the weights
    name: str = ""  # what the source calls itself
    licence: str = "unknown"
    notes: tuple[str, ...] = field(default=())  # what the user should know of it

    def digests(self) -> dict[str, str]:
        """The SHA-256 of each file that holds weights."""
        return {path.name: files.digest(path) for path in self.paths}


# Where the names of documents' ends differ from those of turns' ends, documents end with the first of these.
_DOCUMENT_ENDS = ("<|endoftext|>", "<|end_of_text|>")


def ends(symbols: Mapping[str, int], begins: str | None, ends_: str | None, begin_written: bool) -> tuple[int, int]:
    """The symbols before and after a document, from the names a source gives to its first and last symbol."""
    known: Iterable[str | None] = (*_DOCUMENT_ENDS, ends_, begins)
    stop = next((symbols[name] for name in known if name is not None and name in symbols), None)
    if stop is None:
        raise ValueError("its vocabulary has no symbol that ends a text (eos_token)")
    start = symbols.get(begins, stop) if begin_written and begins is not None else stop
    return start, stop


def speaking(
    content: str, shape: Shape, named: tuple[str | None, str | None, bool], template: object
) -> tuple[tokenizer.Codec, tuple[str, ...]]:
    """The codec of a tokenizer.json with the roles of a chat template, and notes for the user.

    `named` are the symbols that begin and end a text, and whether the first is written before each.
    """
    codec = tokenizer.Codec.of(content, tokenizer.Config(vocab=shape.vocab, length=shape.length))
    start, stop = ends(codec.specials, *named)
    roles = recognised(template, codec.specials)
    notes = ()
    if template is not None and roles is None:
        notes = ("Its chat template is not known, and templates are never executed: it writes on, but cannot chat.",)
    config = replace(codec.config, start=start, stop=stop)
    return tokenizer.Codec(config, codec.tokenizer, roles), notes
