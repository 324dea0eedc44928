"""The ratings of a workspace, their use for learning, and the versions of models that they promote."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genloom.api.notebook import render_table
from genloom.errors import GenloomError
from genloom.text_format import format_count, quote_beginning

if TYPE_CHECKING:
    from genloom.api.models import Model
    from genloom.api.outputs import Output
    from genloom.api.workspace import Workspace
    from genloom.rate.export import Format
    from genloom.rate.preferences import Preferences
    from genloom.rate.ratings import Choice, Rating, Winner
    from genloom.store.ledger import Event


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
        num_pairs = format_count(len(self.preferences.pairs), "pair")
        return f"<Ratings: {len(self):,}; to learn from: {num_pairs}, {len(self.preferences.unpaired):,} unpaired>"

    def _repr_html_(self) -> str:
        columns = ("at", "rater", "says", "prompt", "texts", "note", "effect")
        return render_table([{name: row[name] for name in columns} for row in self.rows])


def read_ratings(workspace: "Workspace", model: "Model | str" = "") -> Ratings:
    """Return the ratings and what is learned from them, about the outputs of a model in any version, or of all."""
    from genloom.rate import ratings
    from genloom.rate.preferences import combine_ratings
    from genloom.rate.votes import load_records

    current = ratings.read_ratings(workspace.ledger)
    records = load_records(workspace.store, current)
    preferences = combine_ratings(current, records, workspace.model(model).name if model else "")
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


def rate(
    workspace: "Workspace",
    output: "Output | str",
    *,
    up: bool | None = None,
    stars: int | None = None,
    note: str = "",
    rater: str = "",
    is_machine: bool = False,
    id: str = "",
) -> "Event":
    """Rate an output; a model can learn from it.

    Parameters
    ----------
    output
        Output, or its id; "last" is the newest.
    up
        True: thumbs up. False: thumbs down.
    stars
        Rating from 1 to 5.
    note
        Note for yourself. Nothing is learned from a note.
    rater
        Name of the rater. "": that of the workspace, else your user name.
    is_machine
        Whether the rater is a program.
    id
        Your own id of this rating; a second rating with the same id is not recorded.

    Returns
    -------
    Event
        The entry of the ledger; `withdraw` takes it.

    Raises
    ------
    GenloomError
        api.rating_missing, api.rating_conflict: not one of up and stars; rate.bad_value.
    """
    from genloom.rate.ratings import record_rating

    if up is not None and stars is not None:
        raise GenloomError("api.rating_conflict")
    if up is not None:
        scale, value = "thumb", 1 if up else -1
    elif stars is not None:
        scale, value = "stars", stars
    elif note:
        scale, value = "note", 0
    else:
        raise GenloomError("api.rating_missing")
    output = workspace.output(output)
    rater = rater or workspace.get_rater()
    return record_rating(workspace.store, workspace.ledger, output.id, rater, scale, value, note, is_machine, id)


def choose(
    workspace: "Workspace",
    a: "Output | str",
    b: "Output | str",
    winner: "Winner",
    *,
    rater: str = "",
    is_machine: bool = False,
    id: str = "",
) -> "Event":
    """Choose the better of two outputs for the same prompt; a model can learn from it.

    Parameters
    ----------
    a, b
        Outputs, or their ids.
    winner
        "a" or "b"; "tie" if they are equally good, "bad" if both are bad.
    rater, is_machine, id
        As for `rate`.

    Returns
    -------
    Event
        The entry of the ledger.

    Raises
    ------
    GenloomError
        rate.same_output, rate.different_prompts, rate.bad_winner.
    """
    from genloom.rate.ratings import record_choice

    outputs = workspace.output(a).id, workspace.output(b).id
    return record_choice(
        workspace.store, workspace.ledger, *outputs, winner, rater or workspace.get_rater(), is_machine, id
    )


def export_ratings(
    workspace: "Workspace", to: "Format" = "jsonl", model: "Model | str" = ""
) -> Iterator[dict[str, Any]]:
    """Yield the ratings as rows: "jsonl" is the ledger itself, "dpo" and "kto" are for TRL's trainers."""
    from genloom.rate.export import export_rows

    return export_rows(workspace.store, workspace.ledger, to, workspace.model(model).name if model else "")


def withdraw(workspace: "Workspace", rating: "Event | str") -> "Event":
    """Withdraw a rating or choice, so that nothing is learned from it from now on; the ledger still records it.

    Versions that were trained on it before stay as they are (`find_trained_versions`); `Model.forget` retrains.

    Raises
    ------
    GenloomError
        rate.not_a_rating: the entry is neither; store.unknown_id, store.nothing_known: no entry has this id.
    """
    from genloom.rate.ratings import withdraw_rating

    return withdraw_rating(workspace.ledger, rating if isinstance(rating, str) else rating.id)


def find_trained_versions(workspace: "Workspace", rating: "Event | str") -> list[str]:
    """Return the versions that were trained on a rating, or are based on one that was."""
    from genloom.store.lineage import find_trained_versions

    return find_trained_versions(workspace.store, workspace.ledger, [rating if isinstance(rating, str) else rating.id])


def verify_ledger(workspace: "Workspace") -> "Event | None":
    """Check the ledger from the first entry to the last, and return the last (None of an empty ledger).

    Keep its digest to detect later whether entries were cut off.

    Raises
    ------
    GenloomError
        store.entry_missing, store.entry_unchained, store.entry_changed: the ledger is not as it was written;
        store.ledger_gone, api.ledger_lost: it was deleted.
    """
    from genloom.api import doctor
    from genloom.rate.promotion import sync_active_version

    doctor.verify_ledger(workspace.store, workspace.ledger, should_read=True)
    for name in {folder.name for folder in workspace.store.list_models()}:
        sync_active_version(workspace.store, workspace.ledger, name)
    return workspace.ledger.get_head()


def promote(
    workspace: "Workspace", model: str, version: int, reason: str = "", *, allow_withdrawn: bool = False
) -> "Event":
    """Activate a version of a model; the ledger records the decision.

    Parameters
    ----------
    model, version
        Its name and number.
    reason
        The reason, for the ledger.
    allow_withdrawn
        Whether the version may have been trained on ratings or documents that are withdrawn.

    Raises
    ------
    GenloomError
        store.no_such_version; rate.trained_on_withdrawn.
    """
    from genloom.rate.promotion import promote_version

    return promote_version(
        workspace.store, workspace.ledger, model, version, "person", reason, allow_withdrawn=allow_withdrawn
    )


def rollback(workspace: "Workspace", model: str, reason: str = "") -> "Event":
    """Reactivate the version of a model that was active before the last promotion.

    Raises
    ------
    GenloomError
        rate.no_earlier_promotion; rate.trained_on_withdrawn.
    """
    from genloom.rate.promotion import roll_back_version

    return roll_back_version(workspace.store, workspace.ledger, model, reason=reason)
