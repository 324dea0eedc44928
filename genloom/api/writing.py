"""Texts from prompts: e-mails, articles, posts and others, in variants to choose from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genloom.api.outputs import Output, Outputs

if TYPE_CHECKING:
    from genloom.api.models import Model
    from genloom.api.workspace import Workspace
    from genloom.assistant.prompts.prompt import Prompt
    from genloom.assistant.prompts.template import Value


@dataclass(frozen=True)
class Writing:
    """Texts that a model wrote from one prompt, stored as outputs."""

    prompt: "Prompt"
    model: str
    num_words: int  # the most that were asked for; 0: no limit
    outputs: Outputs

    @property
    def texts(self) -> list[str]:
        return [str(output.continuation) for output in self.outputs]

    def count_words(self, output: Output) -> int:
        """Return how many words an output has."""
        return len(str(output.continuation).split())

    def is_cut(self, output: Output) -> bool:
        """Return whether an output ended at its limit of tokens, and not where the model ended it."""
        request = output.record.get("request") or {}
        max_tokens = (request.get("params") or {}).get("max_tokens")
        return bool(max_tokens) and len(output.record.get("token_ids") or ()) >= max_tokens

    def to_record(self) -> dict[str, Any]:
        """Return the texts as JSON values."""
        texts = [
            {
                "id": output.id,
                "text": output.continuation,
                "words": self.count_words(output),
                "is_cut": self.is_cut(output),
                "file": str(output.path),
            }
            for output in self.outputs
        ]
        return {"prompt": self.prompt.ref, "model": self.model, "max_words": self.num_words or None, "outputs": texts}

    def __str__(self) -> str:
        return "\n\n".join(self.texts)


def write(
    workspace: "Workspace",
    kind: str,
    given: "Mapping[str, Value] | None" = None,
    *,
    length: str = "",
    variants: int = 1,
    model: "Model | str" = "",
    seed: int | None = None,
    progress: bool | None = None,
    **params: Any,
) -> Writing:
    """Write a text from a prompt of the library, in one or several variants, which can be rated.

    Parameters
    ----------
    kind
        Prompt: email, article, post, product, poem, story, summary, rewrite, headline, or one of your own.
    given
        Values of its variables, e.g. {"to": "a late supplier", "tone": "firm"}.
    length
        Length: one of the prompt's (short, medium, long), or a number of words. "": medium.
    variants
        Number of texts.
    model
        Model that writes. "": the newest that can chat.
    seed
        Random seed. None: a new one each time.
    params
        Parameters of the sampler, which override those of the prompt.

    Raises
    ------
    GenloomError
        assistant.no_chat_model; assistant.value_missing, assistant.unknown_value, assistant.bad_choice;
        assistant.no_length, assistant.bad_length; assistant.prompt_too_long.
    """
    prompt = workspace.prompts.get(kind)
    values, num_words, limits = apply_length(prompt, given or {}, length)
    params = limits | {name: value for name, value in params.items() if value is not None}
    outputs = workspace.prompts.answer(prompt, values, model=model, n=variants, seed=seed, progress=progress, **params)
    return Writing(prompt, outputs[0].model, num_words, outputs)


def apply_length(
    prompt: "Prompt", given: "Mapping[str, Value]", length: str
) -> "tuple[dict[str, Value], int, dict[str, Any]]":
    """Return the values with the length in words, that number (0: no limit), and the limit of tokens that follows."""
    from genloom.assistant.writing.lengths import LENGTH, estimate_max_tokens, find_num_words

    num_words = find_num_words(prompt, length)
    if not num_words:
        return dict(given), 0, {}
    language = given.get("language", "")
    limit = estimate_max_tokens(num_words, language if isinstance(language, str) else "")
    return {**given, LENGTH: str(num_words)}, num_words, {"max_tokens": limit}


def name_pair(outputs: Sequence[Output]) -> str:
    """Return the command that says which of the first two outputs is better; "" for one, or for equal ones."""
    if len(outputs) < 2 or outputs[0].record["sha256"] == outputs[1].record["sha256"]:
        return ""
    return f"genloom rate --pair {outputs[0].id} {outputs[1].id} --winner a"
