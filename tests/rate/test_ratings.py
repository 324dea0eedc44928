"""Ratings are checked, kept once, replaced by later ones, and withdrawn; nothing that was said is lost."""

from collections.abc import Callable

import pytest

from genloom.rate.ratings import Choice, Rating, read_ratings, record_choice, record_rating, withdraw_rating
from genloom.store.ledger import Ledger
from genloom.store.workspace import Workspace

Told = Callable[..., str]


def test_a_rating_says_who_thinks_what_of_which_output(workspace: Workspace, ledger: Ledger, told: Told) -> None:
    output = told("A tale")
    thumb = record_rating(workspace, ledger, output, "Zoë", "thumb", 1, note="kind")
    stars = record_rating(workspace, ledger, output, "judge.length", "stars", 4, is_machine=True)
    digest = workspace.get_output(output)[1]["sha256"]
    assert read_ratings(ledger).ratings == (
        Rating(thumb.id, thumb.at, output, "Zoë", "thumb", 1, "kind", False, digest),
        Rating(stars.id, stars.at, output, "judge.length", "stars", 4, "", True, digest),
    )


def test_a_choice_is_between_two_answers_to_one_prompt(workspace: Workspace, ledger: Ledger, told: Told) -> None:
    a, b, other = told("A tale"), told("A tale"), told("Another")
    event = record_choice(workspace, ledger, a, b, "b", "me")
    digests = (workspace.get_output(a)[1]["sha256"], workspace.get_output(b)[1]["sha256"])
    assert read_ratings(ledger).choices == (Choice(event.id, event.at, a, b, "b", "me", "A tale", False, digests),)
    with pytest.raises(ValueError, match=f"{a} was given twice"):
        record_choice(workspace, ledger, a, a, "a", "me")
    with pytest.raises(ValueError, match=f"{a} and {other} answer different prompts.*genloom rate ID --up"):
        record_choice(workspace, ledger, a, other, "a", "me")
    assert len(read_ratings(ledger).choices) == 1


def test_answers_in_a_conversation_are_compared_by_all_that_was_said_before(
    workspace: Workspace, ledger: Ledger, told: Told
) -> None:
    def answer(*said: str) -> str:
        turns = [{"role": ("user", "assistant")[n % 2], "content": content} for n, content in enumerate(said)]
        return told(said[-1], get_conversation=turns)

    record_choice(workspace, ledger, answer("Hello?"), told("Hello?"), "a", "me")
    record_choice(workspace, ledger, answer("Hello?", "Hi.", "And?"), answer("Hello?", "Hi.", "And?"), "a", "me")
    with pytest.raises(ValueError, match="answer different prompts"):
        record_choice(workspace, ledger, answer("Hello?", "Hi.", "And?"), answer("Hello?", "No.", "And?"), "a", "me")


def test_the_same_command_twice_is_one_rating(workspace: Workspace, ledger: Ledger, told: Told) -> None:
    output = told("A tale")
    events = {record_rating(workspace, ledger, output, "me", "thumb", 1, id="command 1").id for _ in range(2)}
    assert events == {"command 1"}
    assert len(list(ledger.iter_events())) == 1


def test_a_later_rating_replaces_the_earlier_and_the_history_stays(
    workspace: Workspace, ledger: Ledger, told: Told
) -> None:
    output, other = told("A tale"), told("A tale")
    first = record_rating(workspace, ledger, output, "me", "thumb", 1)
    record_rating(workspace, ledger, output, "you", "thumb", 1)
    record_rating(workspace, ledger, output, "me", "note", note="too long")
    last = record_rating(workspace, ledger, output, "me", "stars", 2)
    early = record_choice(workspace, ledger, output, other, "a", "me")
    late = record_choice(workspace, ledger, other, output, "a", "me")
    stands = read_ratings(ledger)
    assert [(r.rater, r.scale, r.value) for r in stands.ratings] == [
        ("you", "thumb", 1), ("me", "note", 0), ("me", "stars", 2),
    ]  # fmt: skip
    assert [c.event for c in stands.choices] == [late.id]
    assert [j.event for j in stands.replaced] == [first.id, early.id]
    withdraw_rating(ledger, last.id)
    assert first.id in [r.event for r in read_ratings(ledger).ratings], "what it replaced counts again"


def test_what_is_withdrawn_does_not_count_and_stays_in_the_ledger(
    workspace: Workspace, ledger: Ledger, told: Told
) -> None:
    a, b = told("A tale"), told("A tale")
    rating, choice = (
        record_rating(workspace, ledger, a, "me", "thumb", -1),
        record_choice(workspace, ledger, a, b, "a", "me"),
    )
    first = withdraw_rating(ledger, rating.id)
    assert withdraw_rating(ledger, rating.id) == first, "once is enough"
    withdraw_rating(ledger, choice.id)
    stands = read_ratings(ledger)
    assert (stands.ratings, stands.choices) == ((), ())
    assert [j.event for j in stands.withdrawn] == [rating.id, choice.id]
    assert [e.kind for e in ledger.iter_events()] == ["rating", "choice", "withdrawal", "withdrawal"]
    with pytest.raises(ValueError, match=r"is a withdrawal\. Only ratings can be withdrawn"):
        withdraw_rating(ledger, first.id)
    with pytest.raises(ValueError, match="There is no entry in the ledger 'nothing'"):
        withdraw_rating(ledger, "nothing")


@pytest.mark.parametrize(
    ("scale", "value", "note", "words"),
    [
        ("thumb", 0, "", "A rating in thumb is one of -1, 1, and 0 is not"),
        ("stars", 6, "", "A rating in stars is one of 1, 2, 3, 4, 5, and 6 is not"),
        ("note", 0, "  ", "The note is empty"),
        ("thumb", 1, "x" * 10_001, "at most 10,000 letters"),
    ],
)
def test_values_that_a_scale_does_not_have(
    scale, value: int, note: str, words: str, workspace: Workspace, ledger: Ledger, told: Told
) -> None:
    with pytest.raises(ValueError, match=words):
        record_rating(workspace, ledger, told("A tale"), "me", scale, value, note)
    assert list(ledger.iter_events()) == []


def test_unknown_outputs_and_raters_without_a_name(workspace: Workspace, ledger: Ledger, told: Told) -> None:
    output = told("A tale")
    wrong = output[:-1] + ("0" if output[-1] != "0" else "1")
    with pytest.raises(ValueError, match=f"There is no output '{wrong}'. Did you mean '{output}'"):
        record_rating(workspace, ledger, wrong, "me", "thumb", 1)
    with pytest.raises(ValueError, match=f"Did you mean '{output}'"):
        record_choice(workspace, ledger, output, wrong, "a", "me")
    with pytest.raises(ValueError, match="The rater has an empty name"):
        record_rating(workspace, ledger, output, "", "thumb", 1)
    with pytest.raises(ValueError, match="The winner is one of a, b, tie, bad, and 'both' is not"):
        record_choice(workspace, ledger, output, told("A tale"), "both", "me")  # ty: ignore[invalid-argument-type]
