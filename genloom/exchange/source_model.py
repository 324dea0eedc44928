"""What every kind of file is read into: a config, tensors that load when asked for, a vocabulary, its origin."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from genloom.codecs import tokenizer
from genloom.exchange.architectures import ArchitectureSpec
from genloom.exchange.jinja_templates import recognize_template
from genloom.exchange.weight_mapping import TensorLoader
from genloom.store import files


@dataclass(frozen=True)
class SourceModel:
    """A model elsewhere. Config and the names of `tensors` are Hugging Face's; `own` takes the file's own names."""

    config: Mapping
    tensors: Mapping[str, TensorLoader]
    get_tensor: Callable[[str], Tensor | None]
    is_gguf: bool
    codec: tokenizer.Codec
    paths: tuple[Path, ...]  # of the files that hold the weights
    name: str = ""  # what the source calls itself
    licence: str = "unknown"
    notes: tuple[str, ...] = field(default=())  # what the user should know of it

    def compute_digests(self) -> dict[str, str]:
        """The SHA-256 of each file that holds weights."""
        return {path.name: files.hash_file(path) for path in self.paths}


# Where the names of documents' ends differ from those of turns' ends, documents end with the first of these.
_DOCUMENT_EOS_TOKENS = ("<|endoftext|>", "<|end_of_text|>")


def resolve_bos_eos(
    token_ids: Mapping[str, int], bos_token: str | None, eos_token: str | None, has_bos: bool
) -> tuple[int, int]:
    """The symbols before and after a document, from the names a source gives to its first and last symbol."""
    candidates: Iterable[str | None] = (*_DOCUMENT_EOS_TOKENS, eos_token, bos_token)
    eos = next((token_ids[name] for name in candidates if name is not None and name in token_ids), None)
    if eos is None:
        raise ValueError("its vocabulary has no symbol that ends a text (eos_token)")
    bos = token_ids.get(bos_token, eos) if has_bos and bos_token is not None else eos
    return bos, eos


def build_chat_codec(
    content: str, spec: ArchitectureSpec, boundary_tokens: tuple[str | None, str | None, bool], template: object
) -> tuple[tokenizer.Codec, tuple[str, ...]]:
    """The codec of a tokenizer.json with the roles of a chat template, and notes for the user.

    `named` are the symbols that begin and end a text, and whether the first is written before each.
    """
    codec = tokenizer.Codec.from_json(
        content, tokenizer.Config(vocab_size=spec.vocab_size, context_length=spec.context_length)
    )
    bos, eos = resolve_bos_eos(codec.special_tokens, *boundary_tokens)
    chat_template = recognize_template(template, codec.special_tokens)
    notes = ()
    if template is not None and chat_template is None:
        notes = ("Its chat template is not known, and templates are never executed: it writes on, but cannot chat.",)
    config = replace(codec.config, bos=bos, eos=eos)
    return tokenizer.Codec(config, codec.tokenizer, chat_template), notes
