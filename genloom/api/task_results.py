"""Translations and summaries: what a task returns, as scripts and notebooks use it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.store.files import expand_home
from genloom.text_format import format_count

if TYPE_CHECKING:
    from genloom.api.outputs import Output
    from genloom.api.signing import Note
    from genloom.assistant.tasks.support import SentenceSupport
    from genloom.assistant.tasks.translation import PieceTranslation


@dataclass(frozen=True)
class Translation:
    """A translated document; its pieces know their outputs, glossary terms and faults."""

    text: str
    model: str
    source_language: str
    target_language: str
    pieces: "tuple[PieceTranslation, ...]"

    @property
    def outputs(self) -> "list[Output]":
        """The stored output of each piece, to be rated."""
        return [piece.output for piece in self.pieces]

    @property
    def missing_terms(self) -> dict[str, str]:
        """The terms of the glossary that a piece should have kept and did not."""
        return {term: wanted for piece in self.pieces for term, wanted in piece.missing.items()}

    @property
    def notes(self) -> list[str]:
        """Faults of the translation in words: pieces that are not in the language, copied or empty; terms."""
        from genloom.assistant.tasks.languages import get_language_name

        language = get_language_name(self.target_language)
        words = {
            "language": f"not in {language}",
            "copy": "the source unchanged",
            "part": "a sentence of the source unchanged",
            "empty": "empty",
            "echo": "a repetition of the question",
            "loop": "ended because they repeated themselves",
            "length": "far longer or shorter than their source",
        }
        found = []
        for fault, description in words.items():
            if count := sum(fault in piece.problems for piece in self.pieces):
                found.append(f"{count} of {format_count(len(self.pieces), 'piece')}: {description}")
        for term, wanted in self.missing_terms.items():
            found.append(f"the glossary's {term!r} = {wanted!r} is missing")
        return found

    def save(self, path: str | Path, *, note: "Note | None" = None) -> Path:
        """Write the translation to a file, with a signature (see `Output.save`); return where it is."""
        from genloom.api.signing import sign_page, write_outgoing

        target = expand_home(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_outgoing(sign_page(self.outputs, self.text.encode(), target.suffix), target, note)
        return target

    def to_record(self) -> dict[str, Any]:
        """Return the translation for JSON."""
        return {
            "text": self.text,
            "model": self.model,
            "from": self.source_language,
            "to": self.target_language,
            "pieces": [
                {
                    "output": piece.output.id,
                    "source": piece.source,
                    "text": piece.text,
                    "terms": dict(piece.terms),
                    "missing": dict(piece.missing),
                    "means": piece.means,
                    "problems": list(piece.problems),
                }
                for piece in self.pieces
            ],
            "notes": self.notes,
        }

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Summary:
    """A summary of a document, extracts of it for comparison, and which of its sentences the document supports."""

    text: str
    output: "Output"
    model: str
    num_pieces: int
    num_rounds: int
    extracts: dict[str, str] = field(default_factory=dict)
    support: "tuple[SentenceSupport, ...]" = ()

    @property
    def support_share(self) -> float:
        """The share of its sentences that the document supports, by overlap of words and likeness by MiniLM."""
        from genloom.assistant.tasks.support import compute_support_share

        return compute_support_share(self.support)

    @property
    def unsupported_sentences(self) -> list[str]:
        """The sentences that the document does not support."""
        return [each.sentence for each in self.support if not each.is_supported]

    def to_record(self) -> dict[str, Any]:
        """Return the summary for JSON."""
        return {
            "text": self.text,
            "output": self.output.id,
            "model": self.model,
            "pieces": self.num_pieces,
            "rounds": self.num_rounds,
            "extracts": dict(self.extracts),
            "support": [
                {
                    "sentence": each.sentence,
                    "supported": each.is_supported,
                    "overlap": round(each.overlap, 3),
                    "likeness": round(each.likeness, 3),
                    "source": each.source,
                }
                for each in self.support
            ],
            "support_share": self.support_share,
        }

    def __str__(self) -> str:
        return self.text
