"""Translation and summaries of documents by any model that can chat; every text that it writes is a stored output."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.api.task_results import Summary, Translation
from genloom.errors import GenloomError
from genloom.store.files import expand_home
from genloom.text_format import format_count

if TYPE_CHECKING:
    from genloom.api.models import Model
    from genloom.api.workspace import Workspace
    from genloom.assistant.tasks.translation import PieceTranslation, TranslationCandidate
    from genloom.types import Message

MAX_CHARS = 1_000_000  # of a document; a model of a hundred million weights writes as much in an hour
MAX_PIECE_TOKENS = 200  # of a piece that is translated
_BATCH_PIECES = 16
_GREEDY = {"temperature": 0.0, "repetition_penalty": 1.0}
_VARIED = {"temperature": 0.6, "repetition_penalty": 1.0}


def translate(
    workspace: "Workspace",
    text: str | Path,
    *,
    to: str,
    source: str = "",
    model: "Model | str" = "",
    glossary: Any = None,
    tries: int = 4,
    seed: int | None = None,
    precision: str = "auto",
    is_marked: bool = True,
    progress: bool | None = None,
    **params: Any,
) -> Translation:
    """Translate a document piece by piece; what stands between the pieces is kept.

    Parameters
    ----------
    text
        Text, or the path of a document (a Path).
    to
        Target language: a code or a name, e.g. fr or French.
    source
        Language of the text. "": found out.
    model
        Model that can chat. "": the newest one.
    glossary
        How certain terms are translated: a mapping, or the path of a table with two columns. A translation that lacks
        one is written again, and then under a grammar in which the terms must occur.
    tries
        Number of candidates for a piece whose first translation has a fault; the best is taken.
    seed
        Random seed of the candidates after the first, which is greedy. None: a new one each time.
    precision, is_marked, progress
        As for `Model.generate`.
    params
        Parameters of the sampler for all candidates, e.g. temperature.

    Returns
    -------
    Translation
        The translated text (`str`), its pieces with their outputs, and notes on their faults.

    Raises
    ------
    GenloomError
        tasks.unknown_language, tasks.source_language_unclear, tasks.source_is_target; tasks.glossary_contradiction and
        other faults of the glossary; tasks.empty_text, tasks.text_too_large; assistant.no_chat_model.
    """
    from genloom.assistant.models import choose_chat_model
    from genloom.assistant.tasks.languages import find_language, find_source_language
    from genloom.assistant.tasks.pieces import split_document

    target = find_language(to)
    given_source = find_language(source) if source else ""
    if given_source == target:
        raise GenloomError("tasks.source_is_target", language=to, target=to)
    value = read_document(text)
    languages = given_source or find_source_language(value, target), target
    terms = open_glossary(glossary, *languages)
    chosen = choose_chat_model(workspace, model if isinstance(model, str) else model.ref)
    loaded = chosen.load((), precision)
    count_tokens = build_token_counter(loaded)
    split = split_document(value, count_tokens, min(MAX_PIECE_TOKENS, loaded.design.context_length // 4))
    if not split.pieces:
        raise GenloomError("tasks.empty_text", path=text if isinstance(text, Path) else "the text")
    job = _TranslationJob(chosen, languages, terms, tries, seed, precision, is_marked, params, count_tokens)
    with workspace.open_bar("Translating", progress) as bar:
        pieces = job.translate_pieces([piece.text for piece in split.pieces], bar.update)
    return Translation(split.join([piece.text for piece in pieces]), chosen.ref, *languages, tuple(pieces))


@dataclass(frozen=True)
class _TranslationJob:
    """The settings of a translation, which every piece shares."""

    model: "Model"
    languages: tuple[str, str]
    glossary: Any  # a Glossary, or None
    tries: int
    seed: int | None
    precision: str
    is_marked: bool
    params: dict[str, Any]
    count_tokens: Any

    def translate_pieces(self, texts: Sequence[str], report: Any) -> "list[PieceTranslation]":
        """Translate all pieces: those of about equal length together, then each that has a fault again."""
        from genloom.assistant.tasks.translation import build_translation_prompt, choose_translation

        terms = [self.glossary.find_terms(text) if self.glossary else {} for text in texts]
        prompts = [
            build_translation_prompt(text, *self.languages, each) for text, each in zip(texts, terms, strict=True)
        ]
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        found: dict[int, PieceTranslation] = {}
        for start in range(0, len(order), _BATCH_PIECES):
            batch = order[start : start + _BATCH_PIECES]
            first = self.write([prompts[index] for index in batch], max(len(texts[i]) for i in batch), 1, "", _GREEDY)
            for index, candidate in zip(batch, first, strict=True):
                text = texts[index]

                def write(
                    prompt: str, count: int, grammar: str, length: int = len(text)
                ) -> "Sequence[TranslationCandidate]":
                    return self.write([prompt], length, count, grammar, _GREEDY if grammar else _VARIED)

                found[index] = choose_translation(text, self.languages, terms[index], candidate, self.tries, write)
                report(len(found) / len(texts), f"{len(found)} of {format_count(len(texts), 'piece')}")
        return [found[index] for index in range(len(texts))]

    def write(
        self, prompts: Sequence[str], length: int, count: int, grammar: str, params: dict[str, Any]
    ) -> "list[TranslationCandidate]":
        """Return `count` candidates for each prompt; `length` is that of the longest source in characters."""
        from genloom.api.answering import answer
        from genloom.assistant.tasks.translation import GRAMMAR_ROOM, TOKENS_PER_SOURCE_TOKEN, TranslationCandidate

        num_tokens = max(self.count_tokens(prompt[-length:]) for prompt in prompts)
        context_length = self.model.load((), self.precision).design.context_length
        room = TOKENS_PER_SOURCE_TOKEN * (GRAMMAR_ROOM if grammar else 1) * num_tokens + 16
        options: dict[str, Any] = {"max_tokens": min(room, max(context_length // 2, 16)), **params, **self.params}
        try:
            outputs = answer(
                self.model,
                [to_question(prompt) for prompt in prompts],
                n=count,
                seed=self.seed,
                grammar=grammar,
                precision=self.precision,
                is_marked=self.is_marked,
                progress=False,
                **options,
            )
        except GenloomError as error:
            if grammar and error.code == "generate.grammar_package_missing":
                return []  # the terms stay missing, which a note says
            raise
        return [
            TranslationCandidate(str(output.record.get("written") or ""), output, bool(output.record.get("has_loop")))
            for output in outputs
        ]


def summarize(
    workspace: "Workspace",
    text: str | Path,
    *,
    length: str = "short",
    language: str = "",
    model: "Model | str" = "",
    seed: int | None = None,
    precision: str = "auto",
    is_marked: bool = True,
    progress: bool | None = None,
    **params: Any,
) -> Summary:
    """Summarize a document of any length: its pieces, then their summaries, until one is left.

    Parameters
    ----------
    text
        Text, or the path of a document (a Path).
    length
        line (1 sentence), short (3), medium (6) or long (12).
    language
        Language of the summary: a code or a name. "": that of the text, as far as the model keeps to it.
    model
        Model that can chat. "": the newest one.
    seed
        Random seed. None: a new one each time.
    precision, is_marked, progress
        As for `Model.generate`.
    params
        Parameters of the sampler, e.g. temperature.

    Returns
    -------
    Summary
        The summary (`str`) with its output; beside it two extracts of as many sentences, the first ones and the most
        central ones, and which of its sentences the document supports.

    Raises
    ------
    GenloomError
        tasks.unknown_length, tasks.unknown_language; tasks.empty_text, tasks.text_too_large, tasks.too_many_pieces;
        assistant.no_chat_model.
    """
    from genloom.assistant.models import choose_chat_model
    from genloom.assistant.tasks.languages import find_language, get_language_name
    from genloom.assistant.tasks.summaries import find_length, summarize_document
    from genloom.assistant.tasks.support import measure_support

    num_sentences, _ = find_length(length)
    tongue = get_language_name(find_language(language)) if language else ""
    value = read_document(text)
    chosen = choose_chat_model(workspace, model if isinstance(model, str) else model.ref)
    loaded = chosen.load((), precision)
    settings: dict[str, Any] = {**_GREEDY, "repetition_penalty": 1.05, **params}

    def write(prompts: Sequence[str], max_tokens: int) -> list[tuple[str, Any]]:
        from genloom.api.answering import answer

        bar.update(0.0, f"{len(prompts)} pieces" if len(prompts) > 1 else "")
        options: dict[str, Any] = {"max_tokens": max_tokens, **settings}
        outputs = answer(
            chosen,
            [to_question(prompt) for prompt in prompts],
            seed=seed,
            precision=precision,
            is_marked=is_marked,
            progress=False,
            **options,
        )
        return [(str(output.record.get("written") or ""), output) for output in outputs]

    with workspace.open_bar("Summarizing", progress) as bar:
        found = summarize_document(
            value, length, loaded.design.context_length, build_token_counter(loaded), write, tongue
        )
    return Summary(
        found.text,
        found.output,
        chosen.ref,
        found.num_pieces,
        found.num_rounds,
        extract_sentences(value, num_sentences),
        tuple(measure_support(found.text, value)),
    )


def extract_sentences(text: str, count: int) -> dict[str, str]:
    """Return the first and the most central sentences of a text, which need no generator."""
    from genloom.assistant.tasks.extracts import extract_centroid, extract_lead
    from genloom.assistant.tasks.sentences import split_sentences

    sentences = split_sentences(text)
    return {
        "lead": " ".join(extract_lead(sentences, count)),
        "centroid": " ".join(extract_centroid(sentences, count)),
    }


def read_document(text: str | Path) -> str:
    """Return a text, or that of a document; raise GenloomError if it is empty or too large."""
    from genloom import plugins
    from genloom.media.opening import open_limited

    path = "the text"
    if isinstance(text, Path):
        path = str(text)
        text = str(open_limited(plugins.find_part("medium", "text").open, expand_home(text)).value)
    if not text.strip():
        raise GenloomError("tasks.empty_text", path=path)
    if len(text) > MAX_CHARS:
        raise GenloomError("tasks.text_too_large", path=path, size=len(text), limit=MAX_CHARS)
    return text


def open_glossary(glossary: Any, source: str, target: str) -> Any:
    """Return the Glossary of a mapping or a file; None without one."""
    from genloom.assistant.tasks.glossary import build_glossary
    from genloom.assistant.tasks.tables import read_glossary_pairs

    if not glossary:
        return None
    if isinstance(glossary, str | Path):
        return build_glossary(read_glossary_pairs(expand_home(glossary), source, target))
    return build_glossary(list(dict(glossary).items()))


def build_token_counter(model: Any) -> Any:
    """Return the function that counts the tokens of a text for a model."""
    from functools import lru_cache

    @lru_cache(maxsize=4096)
    def count_tokens(text: str) -> int:
        return len(model.codec.encode(text))

    return count_tokens


def to_question(prompt: str) -> "list[Message]":
    """Return the conversation that consists of a question."""
    from genloom.types import Message

    return [Message("user", prompt)]
