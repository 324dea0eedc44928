"""The ratings of a workspace, and their use for learning."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genloom.api.outputs import render_table
from genloom.text_format import quote_beginning

if TYPE_CHECKING:
    from genloom.api.workspace import Workspace
    from genloom.rate.preferences import Preferences
    from genloom.rate.ratings import Choice, Rating


_MAX_EXCERPT_CHARS = 200


@dataclass(frozen=True)
class Ratings:
    """Every rating and choice with its effect, and what can be learned from them."""

    rows: Sequence[Mapping[str, Any]]  # in the order given: event, at, rater, machine, effect, outputs, says, texts …
    preferences: "Preferences"
    shortfall: str  # what is missing to learn from them; "": there are enough

    @property
    def is_enough(self) -> bool:
        """Whether a model can learn from them."""
        return not self.shortfall

    def count_split(self, split: str) -> int:
        """Count the preferences that are trained on ("train") or held out ("val")."""
        preferences = (*self.preferences.pairs, *self.preferences.unpaired)
        return Counter(preference.split for preference in preferences)[split]  # ty: ignore[invalid-argument-type]

    def to_json(self) -> dict[str, Any]:
        """Return the ratings and their effect as JSON values."""
        preferences = self.preferences
        return {
            "ratings": [dict(row) for row in self.rows],
            "pairs": len(preferences.pairs),
            "unpaired": len(preferences.unpaired),
            "learned_from": self.count_split("train"),
            "held_out": self.count_split("val"),
            "enough": self.is_enough,
            "missing": self.shortfall,
            "raters": dict(preferences.raters),
            "contradictions": [vars(contradiction) for contradiction in preferences.contradictions],
            "unused": dict(preferences.unused),
        }

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        preferences = self.preferences
        return f"<Ratings: {len(self)}, {len(preferences.pairs)} pairs, {len(preferences.unpaired)} unpaired>"

    def _repr_html_(self) -> str:
        columns = ("at", "rater", "says", "prompt", "texts", "note", "effect")
        return render_table([{name: row[name] for name in columns} for row in self.rows])


def read_ratings(workspace: "Workspace", model: str) -> Ratings:
    """Return the ratings about the outputs of a model in any version, or of all models ("")."""
    from genloom.rate import ratings
    from genloom.rate.preferences import combine_ratings
    from genloom.rate.votes import load_records

    current = ratings.read_ratings(workspace.ledger)
    records = load_records(workspace.store, current)
    preferences = combine_ratings(current, records, model)
    effects = {event: "pair" for entry in preferences.pairs for event in entry.events}
    effects |= {event: "unpaired" for entry in preferences.unpaired for event in entry.events if event not in effects}
    effects |= preferences.unused
    rows = [
        build_row(entry, effects[entry.event], [records.get(output, {}) for output in entry.outputs])
        for entry in sorted(current, key=lambda judgement: judgement.at)
        if entry.event in effects
    ]
    return Ratings(rows, preferences, describe_shortfall(preferences))


def describe_shortfall(preferences: "Preferences") -> str:
    """Return what is missing to learn from the ratings; "" if there are enough."""
    from genloom.rate.preferences import require_enough_preferences

    try:
        require_enough_preferences(preferences)
    except ValueError as error:
        return str(error)
    return ""


def quote_output(record: Mapping[str, Any], max_chars: int = _MAX_EXCERPT_CHARS) -> str:
    """Return the beginning of an output's text, or of its prompt if it is not text; "" if it has neither."""
    return quote_beginning(str(record.get("written") or record.get("prompt") or ""), max_chars)


def build_row(judgement: "Rating | Choice", effect: str, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a rating or choice of outputs with these records in words, with its effect."""
    from genloom.rate.prompts import extract_prompt
    from genloom.rate.ratings import Choice

    row = {
        "prompt": extract_prompt(records[0]),
        "texts": [quote_output(record) for record in records],
        "note": "",
        "event": judgement.event,
        "at": judgement.at,
        "rater": judgement.rater,
        "machine": judgement.machine,
        "effect": effect,
    }
    if isinstance(judgement, Choice):
        signs = {"a": ">", "b": "<", "tie": "=", "bad": "both bad"}
        return row | {
            "outputs": [judgement.a, judgement.b],
            "says": f"{judgement.a} {signs[judgement.winner]} {judgement.b}",
        }
    words = {"thumb": "good" if judgement.value > 0 else "bad", "stars": "*" * judgement.value, "note": "note"}
    return row | {
        "outputs": [judgement.output],
        "says": f"{judgement.output} {words[judgement.scale]}",
        "note": judgement.note,
    }
