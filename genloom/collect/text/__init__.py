"""Prepares texts: read in pieces, cleaned, scrubbed, their language and quality told, compared by their words."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from genloom.collect.options import Options
from genloom.collect.preparation import Document, Left, Tallies
from genloom.collect.sources import Found
from genloom.collect.text import files, reading, telling
from genloom.collect.text import sketch as sketching
from genloom.collect.text.clean import clean
from genloom.collect.text.conversations import rendered
from genloom.collect.text.cut import piece_length
from genloom.collect.text.language import language
from genloom.collect.text.quality import quality
from genloom.collect.text.reading import Raw
from genloom.collect.text.scrub import scrub

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow as pa

noun = "document"
offer = "txt, md, html, pdf, docx or epub files"
removed = telling.REMOVED
split_note = telling.split_note
foreign = ("size", "background")
claims = files.claims
sort = files.sort
read = reading.read
similarity = sketching.similarity
sketch = sketching.sketch
facts = telling.facts
kept = telling.kept
changes = telling.changes
sections = telling.sections

BETWEEN = "\n\x1e\n"  # the turns of a conversation: cleaned text has no control characters


def settled(options: Options, found: Sequence[Found]) -> Options:
    """The options with the longest piece chosen by the size of the collection."""
    # What a .gz holds is not known before it is read; text packs to about a third.
    total = sum(3 * one.size if one.is_packed else one.size for one in found)
    return replace(options, piece_characters=options.piece_characters or piece_length(total))


def document(raw: Raw, options: Options, tallies: Tallies) -> tuple[Document, str]:
    """The cleaned and scrubbed text, which is its own likeness; see Preparation."""
    cleaned = [clean(part) for part in ([turn.content for turn in raw.turns] or [raw.text])]
    tallies["repaired"]["documents"] += any(repaired for _, repaired in cleaned)
    text = BETWEEN.join(part for part, _ in cleaned)
    if not all(part for part, _ in cleaned):
        raise Left("empty")
    code = language(text)
    if options.languages and code not in options.languages:
        raise Left("other language")
    score = quality(text)
    if score < options.min_quality:
        raise Left("low quality")
    if options.scrub:
        text, found = scrub(text, options.scrub)
        tallies["scrubbed"] += found
    turns = tuple(replace(t, content=c) for t, c in zip(raw.turns, text.split(BETWEEN), strict=bool(raw.turns)))
    text = rendered(turns) or text
    data = text.encode("utf-8")
    tallied = {"languages": code, "quality": f"{min(9, int(score * 10)) / 10}"}
    if turns:
        tallied["conversations"] = "documents"
    kept = {
        "language": code,
        "quality": score,
        "turns": json.dumps([asdict(turn) for turn in turns], ensure_ascii=False) if turns else "",
    }
    return Document(text, hashlib.sha256(data).digest(), raw.source, raw.licence, len(data), kept, tallied), text


def columns(documents: Sequence[Document]) -> dict[str, "pa.Array"]:
    """The columns language, quality and turns (JSON, "" where the document is no conversation)."""
    import pyarrow as pa

    kinds = {"language": pa.string(), "quality": pa.float32(), "turns": pa.string()}
    return {name: pa.array([one.columns[name] for one in documents], kind) for name, kind in kinds.items()}
