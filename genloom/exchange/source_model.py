"""The common form of all sources: a config, tensors that load on demand, a vocabulary and the origin."""

import json
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from safetensors import SafetensorError
from torch import Tensor

from genloom.codecs import tokenizer
from genloom.errors import GenloomError, format_message
from genloom.exchange.architectures import ArchitectureSpec
from genloom.exchange.jinja_templates import recognize_template
from genloom.exchange.parity import Parity
from genloom.exchange.weight_mapping import TensorLoader
from genloom.store import files
from genloom.store.model_folder import ModelFolder

ProgressCallback = Callable[[float, str], None]  # the progress, from 0 to 1, and the next step


@dataclass(frozen=True)
class SourceModel:
    """A model to import, with Hugging Face's config and names of `tensors`; `get_tensor` takes the file's names."""

    config: Mapping
    tensors: Mapping[str, TensorLoader]
    get_tensor: Callable[[str], Tensor | None]
    is_gguf: bool
    codec: tokenizer.Codec
    paths: tuple[Path, ...]  # of the files with the weights
    name: str = ""  # the source's own name
    licence: str = "unknown"
    repository: str = ""  # on the Hugging Face hub, where the location tells
    base_model: str = ""  # the hub name of the model that the source says it derives from
    notices: tuple[Path, ...] = ()  # its licence files
    notes: tuple[str, ...] = field(default=())  # for the user

    def compute_digests(self) -> dict[str, str]:
        """Return the SHA-256 of each file with weights."""
        return {path.name: files.hash_file(path) for path in self.paths}


@dataclass(frozen=True)
class ImportResult:
    """An imported model, and how closely it computes what its source does."""

    folder: ModelFolder
    spec: ArchitectureSpec | None = None  # None: a library of its own runs the model, and its files are the source's
    parity: Parity | None = None
    notes: tuple[str, ...] = ()
    has_chat_template: bool = False
    example: str = ""  # the command that uses it, where it is neither that of a chat nor of a text


# Exceptions that a value of an unexpected kind raises where no check has named it before.
_UNEXPECTED_ERRORS = (
    *(TypeError, KeyError, AttributeError, IndexError, RecursionError, OverflowError, MemoryError),
    *(RuntimeError, SafetensorError),
)


@contextmanager
def explain_import_errors(path: Path) -> Generator[None]:
    """Turn every error about the content of `path` into one that says why it cannot be imported.

    The field `cause` is the code of the original error.
    """
    try:
        yield
    except ValueError as error:
        cause = error.code if isinstance(error, GenloomError) else ""
        reason = str(error).rstrip(".")
        raise GenloomError("exchange.import_failed", path=path, reason=reason, cause=cause) from None
    except _UNEXPECTED_ERRORS as error:
        reason = format_message("exchange.unexpected_content", reason=f"{type(error).__name__}: {str(error)[:100]}")
        cause = "exchange.unexpected_content"
        raise GenloomError("exchange.import_failed", path=path, reason=reason, cause=cause) from error


def record_parity(folder: Path, parity: Parity) -> None:
    """Add the result of the comparison to the card of a model that is being written."""
    path = folder / "card.json"
    card = {**json.loads(path.read_text()), "parity": asdict(parity)}
    path.write_text(json.dumps(card, indent=2, ensure_ascii=False))


# If documents and turns end with different tokens, documents end with one of these.
_DOCUMENT_EOS_TOKENS = ("<|endoftext|>", "<|end_of_text|>")


def resolve_bos_eos(
    token_ids: Mapping[str, int], bos_token: str | None, eos_token: str | None, has_bos: bool
) -> tuple[int, int]:
    """Return the ids of the tokens before and after a document, from the source's bos and eos tokens."""
    candidates: Iterable[str | None] = (*_DOCUMENT_EOS_TOKENS, eos_token, bos_token)
    eos = next((token_ids[name] for name in candidates if name is not None and name in token_ids), None)
    if eos is None:
        raise GenloomError("exchange.no_eos_token")
    bos = token_ids.get(bos_token, eos) if has_bos and bos_token is not None else eos
    return bos, eos


def build_chat_codec(
    content: str, spec: ArchitectureSpec, boundary_tokens: tuple[str | None, str | None, bool], template: object
) -> tuple[tokenizer.Codec, tuple[str, ...]]:
    """Return the codec of a tokenizer.json with its chat template, and notes for the user.

    `boundary_tokens` are the bos token, the eos token, and whether the bos token precedes every text.
    """
    codec = tokenizer.Codec.from_json(
        content, tokenizer.Config(vocab_size=spec.vocab_size, context_length=spec.context_length)
    )
    bos, eos = resolve_bos_eos(codec.special_tokens, *boundary_tokens)
    chat_template = recognize_template(template, codec.special_tokens, boundary_tokens[0], boundary_tokens[1])
    notes = ()
    if template is not None and chat_template is None:
        notes = (format_message("exchange.unknown_chat_template"),)
    config = replace(codec.config, bos=bos, eos=eos)
    return tokenizer.Codec(config, codec.tokenizer, chat_template), notes
