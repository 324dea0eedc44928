"""An assistant of a field, from a folder: it answers from its documents by its prompt, and shows its disclaimer.

    python -m recipes.assistants.run support --ask "How long is the warranty?"
    python -m recipes.assistants.run support --evaluate --model smollm2
    python -m recipes.assistants.run ./my-folder --evaluate --quotes-only

A folder holds assistant.toml (title, disclaimer, system, what to say where the documents are unanswered, licence),
knowledge/ (documents), prompts/answer.toml (variables `question` and `passages`), data/ (answers to tune on), job.toml
(how), and evaluation.jsonl (questions with checks). To make one of your own, copy a folder and change its files.
"""

import argparse
import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genloom.api.knowledge import Knowledge
    from genloom.api.workspace import Workspace

FOLDER = Path(__file__).parent
MAX_ANSWER_TOKENS = 160


@dataclass(frozen=True)
class FieldAssistant:
    """The settings of an assistant."""

    folder: Path
    title: str
    disclaimer: str  # below every answer
    system: str
    unsupported: str  # instead of an answer where the documents say nothing
    language: str
    licence: str
    source: str


@dataclass(frozen=True)
class FieldAnswer:
    """An answer, its sources, and the text that a person sees, which ends with the disclaimer."""

    text: str
    answer: str  # in the words of the model; "" without one
    quotes: tuple[str, ...]
    files: tuple[str, ...]  # of the quotes
    is_supported: bool  # whether the documents say something about the question
    unsupported_sentences: tuple[str, ...] = ()  # of the answer, that no passage supports


@dataclass(frozen=True)
class Question:
    """A question with what an answer must contain, any one of it, or that nothing answers it."""

    question: str
    contains: tuple[str, ...] = ()
    source: str = ""
    is_unsupported: bool = False


def read_assistant(folder: Path) -> FieldAssistant:
    """Return the assistant of a folder; ValueError if a setting is missing or unknown, or the disclaimer is empty."""
    table = tomllib.loads((folder / "assistant.toml").read_text(encoding="utf-8"))
    names = {each.name for each in fields(FieldAssistant)} - {"folder"}
    if table.keys() != names or not all(isinstance(value, str) and value.strip() for value in table.values()):
        raise ValueError(f"{folder / 'assistant.toml'} must set exactly these texts: {', '.join(sorted(names))}")
    return FieldAssistant(folder, **table)


def read_questions(folder: Path) -> list[Question]:
    """Return the questions of evaluation.jsonl; ValueError for one without a check."""
    questions = []
    for line in (folder / "evaluation.jsonl").read_text(encoding="utf-8").splitlines():
        row: dict[str, Any] = json.loads(line)
        row["contains"] = tuple(row.get("contains", ()))
        question = Question(**row)
        if bool(question.contains) == question.is_unsupported:
            raise ValueError(f"A question needs either contains or is_unsupported: {line}")
        questions.append(question)
    return questions


def open_documents(workspace: "Workspace", assistant: FieldAssistant) -> "Knowledge":
    """Return the knowledge of an assistant's documents, read as far as they changed."""
    from genloom.api.knowledge import open_knowledge

    return open_knowledge(workspace, assistant.folder / "knowledge", name=f"assistant-{assistant.folder.name}")


def answer_question(
    knowledge: "Knowledge", assistant: FieldAssistant, question: str, model: str = "", quotes_only: bool = False
) -> FieldAnswer:
    """Return the answer from the documents, written by a model unless only quotes are wanted."""
    retrieval = knowledge.retrieve(question)
    if not retrieval.is_supported:
        return FieldAnswer(f"{assistant.unsupported}\n\n{assistant.disclaimer}", "", (), (), False)
    quotes = tuple(" ".join(quote.text.split()) for quote in retrieval.quotes)
    places = [retrieval.sources[quote.source - 1] for quote in retrieval.quotes]
    lines = [f'"{quotes[0]}" — {places[0].title}']
    answer, unsupported = "", ()
    if not quotes_only:
        answer, unsupported = write_answer(knowledge.workspace, assistant, retrieval, model)
        lines = [answer, *lines] if answer else lines
    text = "\n\n".join([*lines, assistant.disclaimer])
    files = tuple(Path(source.hit.passage.place.file).name for source in places)
    return FieldAnswer(text, answer, quotes, files, True, unsupported)


def write_answer(
    workspace: "Workspace", assistant: FieldAssistant, retrieval: Any, model: str
) -> tuple[str, tuple[str, ...]]:
    """Return what a model answers to the folder's prompt, and its sentences that no passage supports."""
    from genloom.api.answering import answer
    from genloom.api.knowledge_answers import cite_sentences
    from genloom.assistant.knowledge.prompting import fit_sources, quote_sources
    from genloom.assistant.models import choose_chat_model
    from genloom.assistant.prompts.prompt_file import read_prompt
    from genloom.assistant.prompts.requests import build_messages

    chosen = choose_chat_model(workspace, model)
    loaded = chosen.load()
    codec: Any = loaded.codec
    max_tokens = min(MAX_ANSWER_TOKENS, loaded.design.context_length // 4)
    room = loaded.design.context_length // 2
    sources = fit_sources(retrieval.safe_sources, retrieval.question, lambda text: len(codec.encode(text)), room)
    if not sources:
        return "", ()
    passages = quote_sources(sources, retrieval.question).rpartition("\n\nQuestion: ")[0]
    prompt = read_prompt(assistant.folder / "prompts" / "answer.toml")
    messages = build_messages(prompt, {"question": retrieval.question, "passages": passages})
    (output,) = answer(chosen, [messages], progress=False, max_tokens=max_tokens, temperature=0.0)
    text = str(output.record.get("written") or "").strip()
    support = cite_sentences(text, sources) if text else []
    return text, tuple(each.text for each in support if not each.is_supported)


def evaluate_assistant(
    workspace: "Workspace", assistant: FieldAssistant, model: str = "", quotes_only: bool = False
) -> dict[str, Any]:
    """Return how many questions are answered right, by the quotes and by the model, and how many refused rightly."""
    questions, rows = read_questions(assistant.folder), []
    with open_documents(workspace, assistant) as knowledge:
        for question in questions:
            found = answer_question(knowledge, assistant, question.question, model, quotes_only)
            assert found.text.endswith(assistant.disclaimer), "every answer shows the disclaimer"
            rows.append((question, found))
    answerable = [(question, found) for question, found in rows if not question.is_unsupported]
    unanswered = [found for question, found in rows if question.is_unsupported]
    return {
        "questions": len(answerable),
        "quote_right": sum(contains_any(" ".join(found.quotes), question.contains) for question, found in answerable),
        "source_right": sum(question.source in found.files for question, found in answerable),
        "answer_right": sum(contains_any(found.answer, question.contains) for question, found in answerable),
        "wrongly_refused": sum(not found.is_supported for _, found in answerable),
        "unanswerable": len(unanswered),
        "rightly_refused": sum(not found.is_supported for found in unanswered),
        "unsupported_sentences": sum(len(found.unsupported_sentences) for _, found in rows),
    }


def contains_any(text: str, wanted: Sequence[str]) -> bool:
    """Return whether a text contains one of these as whole words, whatever the capitals."""
    from genloom.assistant.prompts.checks import contains_words

    return any(contains_words(text, each) for each in wanted)


def main(arguments: Sequence[str] | None = None) -> None:
    import genloom as gl

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("field", help="legal, medical, scientific or support; or the folder of another")
    parser.add_argument("--ask", help="question to answer")
    parser.add_argument("--evaluate", action="store_true", help="answer the questions of evaluation.jsonl")
    parser.add_argument("--model", default="", help="model that writes; default: the newest that can chat")
    parser.add_argument("--quotes-only", action="store_true", help="no model writes an answer")
    parser.add_argument("--workspace", help="folder of the workspace")
    given = parser.parse_args(arguments)
    folder = FOLDER / given.field if (FOLDER / given.field).is_dir() else Path(given.field)
    assistant, workspace = read_assistant(folder), gl.Workspace(given.workspace)
    if given.ask:
        with open_documents(workspace, assistant) as knowledge:
            print(answer_question(knowledge, assistant, given.ask, given.model, given.quotes_only).text)
    if given.evaluate:
        print(
            json.dumps(
                {assistant.folder.name: evaluate_assistant(workspace, assistant, given.model, given.quotes_only)}
            )
        )
    if not (given.ask or given.evaluate):
        parser.error("give --ask QUESTION or --evaluate")


if __name__ == "__main__":
    main()
