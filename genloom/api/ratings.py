"""The ratings of a workspace, and their use for learning."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genloom.api.outputs import render_table

if TYPE_CHECKING:
    from genloom.api.workspace import Workspace
    from genloom.rate.preferences import Preferences
    from genloom.rate.ratings import Choice, Rating


@dataclass(frozen=True)
class Ratings:
    """Every rating and choice with its effect, and what can be learned from them."""

    rows: Sequence[Mapping[str, Any]]  # oldest first: event, at, rater, machine, effect, outputs, says
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
        columns = ("at", "rater", "says", "effect")
        return render_table([{name: row[name] for name in columns} for row in self.rows])


def read_ratings(workspace: "Workspace", model: str) -> Ratings:
    """Return the ratings about the outputs of a model in any version, or of all models ("")."""
    from genloom.rate import ratings
    from genloom.rate.preferences import build_preferences

    preferences = build_preferences(workspace.store, workspace.ledger, model)
    current = ratings.read_ratings(workspace.ledger)
    effects = {event: "pair" for entry in preferences.pairs for event in entry.events}
    effects |= {event: "unpaired" for entry in preferences.unpaired for event in entry.events if event not in effects}
    effects |= preferences.unused
    judgements = (*current.ratings, *current.choices, *current.replaced, *current.withdrawn)
    rows = [
        build_row(entry, effects[entry.event])
        for entry in sorted(judgements, key=lambda judgement: judgement.at)
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


def build_row(judgement: "Rating | Choice", effect: str) -> dict[str, Any]:
    """Return a rating or choice in words, with its effect."""
    from genloom.rate.ratings import Choice

    row = {
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
