"""Prepare texts: read them in chunks, clean and scrub them, detect language and quality, compare their words."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.collect import builtin
from genloom.collect.preparation import Counters, Document, Skip
from genloom.collect.sources import SourceFile
from genloom.collect.text import files, minhash, reader, report
from genloom.collect.text.chunk import choose_chunk_chars
from genloom.collect.text.clean import clean_text
from genloom.collect.text.conversations import render_conversation
from genloom.collect.text.language import detect_language
from genloom.collect.text.minhash import ComparedText
from genloom.collect.text.options import Config
from genloom.collect.text.quality import score_quality
from genloom.collect.text.reader import RawText
from genloom.media.text.personal_data import scrub_text
from genloom.types import Message

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow as pa

noun = "document"
accepted_files = "txt, md, html, pdf, docx or epub files"
drop_reasons = report.DROP_REASONS
describe_splits = report.describe_splits
note_content = report.note_languages
accepts_any_file = True
reads_files_apart = True
decodes_documents = False  # `read` has done it
builtin_sources = {name: Path(builtin.__file__).with_name(f"{name}.txt.gz") for name in builtin.NAMES}
count_matching_files = files.count_matching_files
select = files.select
read = reader.read
compute_similarity = minhash.compute_similarity
compute_sketches = minhash.compute_sketches
build_metadata = report.build_metadata
summary = report.summary
describe_changes = report.describe_changes
render_sections = report.render_sections

TURN_SEPARATOR = "\n\x1e\n"  # between the turns of a conversation; cleaned text has no control characters


def resolve(options: Config, source_files: Sequence[SourceFile]) -> Config:
    """Return the options with a chunk length that suits the size of the collection."""
    # The content of a .gz has an unknown size before it is read; text compresses to about a third.
    total = sum(3 * file.size if file.is_gzipped else file.size for file in source_files)
    return replace(options, chunk_chars=options.chunk_chars or choose_chunk_chars(total))


def build_document(raw: RawText, options: Config, counters: Counters) -> tuple[Document, ComparedText]:
    """Return the document with the cleaned and scrubbed text, and what of it is compared; see Preparation."""
    cleaned_parts = [clean_text(part) for part in ([turn.content for turn in raw.turns] or [raw.text])]
    counters["repaired"]["documents"] += any(is_repaired for _, is_repaired in cleaned_parts)
    text = TURN_SEPARATOR.join(part for part, _ in cleaned_parts)
    if not all(part for part, _ in cleaned_parts):
        raise Skip("empty")
    language_code = detect_language(text)
    if options.languages and language_code not in options.languages:
        raise Skip("other language")
    score = score_quality(text)
    if score < options.min_quality:
        raise Skip("low quality")
    if options.scrub:
        text, scrub_counts = scrub_text(text, options.scrub)
        counters["scrubbed"] += scrub_counts
    turns = tuple(replace(t, content=c) for t, c in zip(raw.turns, text.split(TURN_SEPARATOR), strict=bool(raw.turns)))
    text = render_conversation(turns) or text
    compared_text = ComparedText(
        render_conversation([turn for turn in turns if turn.role != "system"]) or text,
        "\n".join(turn.content for turn in turns if turn.role == "assistant"),
        next((turn.content for turn in turns if turn.role == "user"), ""),
    )
    data = text.encode("utf-8")
    counter_values = {"languages": language_code, "quality": f"{min(9, int(score * 10)) / 10}"}
    if turns:
        counter_values["conversations"] = "documents"
    extra_columns = {
        "language": language_code,
        "quality": score,
        "turns": json.dumps([_to_record(turn) for turn in turns], ensure_ascii=False) if turns else "",
    }
    return Document(
        text, hashlib.sha256(data).digest(), raw.source, raw.licence, len(data), extra_columns, counter_values
    ), compared_text


def _to_record(turn: Message) -> dict[str, Any]:
    return {"role": turn.role, "content": turn.content, **({} if turn.is_learned else {"is_learned": False})}


def build_columns(documents: Sequence[Document]) -> dict[str, "pa.Array"]:
    """Return the columns language, quality and turns (JSON, "" if the document is not a conversation)."""
    import pyarrow as pa

    column_types = {"language": pa.string(), "quality": pa.float32(), "turns": pa.string()}
    return {
        name: pa.array([document.columns[name] for document in documents], column_type)
        for name, column_type in column_types.items()
    }
