"""Ratings are validated, recorded once, replaced by later ones and withdrawn; the ledger keeps all of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from genloom.errors import GenloomError
from genloom.program import name_program
from genloom.rate.ratings import Choice, Rating, Scale, read_ratings, record_choice, record_rating, withdraw_rating
from genloom.store.ledger import Ledger
from genloom.store.workspace import Workspace
from tests.errors import raises_code

SaveOutput = Callable[..., str]


def test_a_rating_records_rater_scale_value_and_output(
    workspace: Workspace, ledger: Ledger, save_output: SaveOutput
) -> None:
    output = save_output("A tale")
    thumb = record_rating(workspace, ledger, output, "Zoë", "thumb", 1, note="kind")
    stars = record_rating(workspace, ledger, output, "judge.length", "stars", 4, is_machine=True)
    digest = workspace.get_output(output)[1]["sha256"]
    assert read_ratings(ledger).ratings == (
        Rating(thumb.id, thumb.at, output, "Zoë", "thumb", 1, "kind", False, digest),
        Rating(stars.id, stars.at, output, "judge.length", "stars", 4, "", True, digest),
    )


def test_a_choice_is_between_two_answers_to_one_prompt(
    workspace: Workspace, ledger: Ledger, save_output: SaveOutput
) -> None:
    a, b, other = save_output("A tale"), save_output("A tale"), save_output("Another")
    event = record_choice(workspace, ledger, a, b, "b", "me")
    digests = (workspace.get_output(a)[1]["sha256"], workspace.get_output(b)[1]["sha256"])
    assert read_ratings(ledger).choices == (Choice(event.id, event.at, a, b, "b", "me", "A tale", False, digests),)
    with raises_code("rate.same_output", output=a):
        record_choice(workspace, ledger, a, a, "a", "me")
    with raises_code("rate.different_prompts", a=a, b=other):
        record_choice(workspace, ledger, a, other, "a", "me")
    assert len(read_ratings(ledger).choices) == 1


def test_answers_in_a_conversation_are_compared_by_all_earlier_messages(
    workspace: Workspace, ledger: Ledger, save_output: SaveOutput
) -> None:
    def answer(*contents: str) -> str:
        messages = [{"role": ("user", "assistant")[n % 2], "content": content} for n, content in enumerate(contents)]
        return save_output(contents[-1], conversation=messages)

    record_choice(workspace, ledger, answer("Hello?"), save_output("Hello?"), "a", "me")
    record_choice(workspace, ledger, answer("Hello?", "Hi.", "And?"), answer("Hello?", "Hi.", "And?"), "a", "me")
    with raises_code("rate.different_prompts"):
        record_choice(workspace, ledger, answer("Hello?", "Hi.", "And?"), answer("Hello?", "No.", "And?"), "a", "me")


def test_the_same_command_twice_is_one_rating(workspace: Workspace, ledger: Ledger, save_output: SaveOutput) -> None:
    output = save_output("A tale")
    events = {record_rating(workspace, ledger, output, "me", "thumb", 1, id="command 1").id for _ in range(2)}
    assert events == {"command 1"}
    assert len(list(ledger.iter_events())) == 1


def test_a_later_rating_replaces_an_earlier_one_and_the_history_stays(
    workspace: Workspace, ledger: Ledger, save_output: SaveOutput
) -> None:
    output, other = save_output("A tale"), save_output("A tale")
    first = record_rating(workspace, ledger, output, "me", "thumb", 1)
    record_rating(workspace, ledger, output, "you", "thumb", 1)
    record_rating(workspace, ledger, output, "me", "note", note="too long")
    last = record_rating(workspace, ledger, output, "me", "stars", 2)
    early = record_choice(workspace, ledger, output, other, "a", "me")
    late = record_choice(workspace, ledger, other, output, "a", "me")
    ratings = read_ratings(ledger)
    assert [(r.rater, r.scale, r.value) for r in ratings.ratings] == [
        ("you", "thumb", 1), ("me", "note", 0), ("me", "stars", 2),
    ]  # fmt: skip
    assert [c.event for c in ratings.choices] == [late.id]
    assert [j.event for j in ratings.replaced] == [first.id, early.id]
    withdraw_rating(ledger, last.id)
    assert first.id in [r.event for r in read_ratings(ledger).ratings], "what it replaced counts again"


def test_withdrawn_ratings_do_not_count_and_stay_in_the_ledger(
    workspace: Workspace, ledger: Ledger, save_output: SaveOutput
) -> None:
    a, b = save_output("A tale"), save_output("A tale")
    rating, choice = (
        record_rating(workspace, ledger, a, "me", "thumb", -1),
        record_choice(workspace, ledger, a, b, "a", "me"),
    )
    first = withdraw_rating(ledger, rating.id)
    assert withdraw_rating(ledger, rating.id) == first, "once is enough"
    withdraw_rating(ledger, choice.id)
    ratings = read_ratings(ledger)
    assert (ratings.ratings, ratings.choices) == ((), ())
    assert [j.event for j in ratings.withdrawn] == [rating.id, choice.id]
    assert [e.kind for e in ledger.iter_events()] == ["rating", "choice", "withdrawal", "withdrawal"]
    with raises_code("rate.not_a_rating", kind="withdrawal"):
        withdraw_rating(ledger, first.id)
    with raises_code("store.unknown_id", id="nothing"):
        withdraw_rating(ledger, "nothing")


@pytest.mark.parametrize(
    ("scale", "value", "note", "code"),
    [
        ("thumb", 0, "", "rate.bad_value"),
        ("stars", 6, "", "rate.bad_value"),
        ("note", 0, "  ", "rate.empty_note"),
        ("thumb", 1, "x" * 10_001, "rate.note_too_long"),
    ],
)
def test_values_outside_the_scale_are_refused(
    scale, value: int, note: str, code: str, workspace: Workspace, ledger: Ledger, save_output: SaveOutput
) -> None:
    with raises_code(code):
        record_rating(workspace, ledger, save_output("A tale"), "me", scale, value, note)
    assert list(ledger.iter_events()) == []


def test_unknown_outputs_and_empty_rater_names_are_refused(
    workspace: Workspace, ledger: Ledger, save_output: SaveOutput
) -> None:
    output = save_output("A tale")
    wrong = output[:-1] + ("0" if output[-1] != "0" else "1")
    with raises_code("store.unknown_id", id=wrong, command=name_program("genloom list outputs")):
        record_rating(workspace, ledger, wrong, "me", "thumb", 1)
    with raises_code("store.unknown_id", id=wrong, command=name_program("genloom list outputs")):
        record_choice(workspace, ledger, output, wrong, "a", "me")
    with raises_code("store.empty_name", kind="rater"):
        record_rating(workspace, ledger, output, "", "thumb", 1)
    with raises_code("rate.bad_winner", winner="both"):
        record_choice(workspace, ledger, output, save_output("A tale"), "both", "me")  # ty: ignore[invalid-argument-type]


@pytest.mark.parametrize(("scale", "value"), [("stars", 4.0), ("stars", np.int64(4)), ("thumb", True)])
def test_a_value_of_another_number_type_is_recorded_as_the_whole_number(
    scale: Scale, value: Any, workspace: Workspace, ledger: Ledger, save_output: SaveOutput
) -> None:
    record_rating(workspace, ledger, save_output("A tale"), "me", scale, value)
    (rating,) = read_ratings(ledger).ratings
    assert type(rating.value) is int
    assert rating.value == value


@pytest.mark.parametrize("fields", [{"note": 5}, {"is_machine": "yes"}, {"value": "1"}, {"value": 1.5}])
def test_what_the_ledger_could_not_read_back_is_never_written(
    fields: dict[str, Any], workspace: Workspace, ledger: Ledger, save_output: SaveOutput
) -> None:
    output = save_output("A tale")
    given: Any = {"value": 1, **fields}
    with pytest.raises(GenloomError):
        record_rating(workspace, ledger, output, "me", "thumb", **given)
    assert not list(ledger.iter_events())
