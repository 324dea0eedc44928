"""A check as a rater: named as a machine, one choice for every two outputs, ties for equal scores."""

from collections.abc import Callable

from genloom.learn.unlearn_ratings import find_entries
from genloom.rate.auto_rater import parse_check, rate_pairs
from genloom.store.ledger import Ledger
from genloom.store.workspace import Workspace
from tests.errors import raises_code


def test_the_better_output_wins_and_the_ledger_records_a_machine(
    workspace: Workspace, ledger: Ledger, save_output: Callable[..., str]
) -> None:
    long, short, other = save_output("why?", "because of it"), save_output("why?", "so"), save_output("when?", "now")
    [event] = rate_pairs(workspace, ledger, "notes", "length:max_length=1")
    assert event.body["rater"] == "check-length"
    assert event.body["machine"]
    assert event.body[event.body["winner"]] == short
    assert other not in (event.body["a"], event.body["b"])
    assert rate_pairs(workspace, ledger, "notes", "length:max_length=1") == [], "once is enough"
    assert rate_pairs(workspace, ledger, "notes", "length:min_length=1")[0].body["winner"] == "tie"
    assert long in (event.body["a"], event.body["b"])


def test_ratings_of_earlier_versions_are_those_of_the_check(
    workspace: Workspace, ledger: Ledger, save_output: Callable[..., str]
) -> None:
    """Earlier versions called it `judge-length`; a person of that name is another rater."""
    for text in ("because of it", "so"):
        save_output("why?", text)
    [event] = rate_pairs(workspace, ledger, "notes", "length:max_length=1")
    former_body = {**event.body, "rater": "judge-length"}
    for number, is_machine in enumerate((True, False)):
        ledger.append("choice", {**former_body, "machine": is_machine}, f"former{number}")
    raters = [entry.body["rater"] for entry in ledger.iter_entries(["choice"])]
    assert raters == ["check-length", "check-length", "judge-length"]
    for name in ("check-length", "judge-length"):
        assert {"former0", event.id} <= {entry.id for entry in find_entries(ledger, name, "")}


def test_settings_are_validated() -> None:
    assert parse_check("regex:pattern=[!];is_absent=true")[1]("so!").score == 0
    with raises_code("core.unknown_part", name="lenght"):
        parse_check("lenght")
    with raises_code("core.unknown_setting", key="max"):
        parse_check("length:max=1")
    for spec in ("code:tests=assert True;timeout_seconds=inf", "length:max_length=nan"):
        with raises_code("core.bad_setting_value"):
            parse_check(spec)


def test_a_single_output_per_prompt_cannot_be_compared(
    workspace: Workspace, ledger: Ledger, save_output: Callable[..., str]
) -> None:
    for _ in range(2):
        with raises_code("rate.no_pairs", model="notes"):
            rate_pairs(workspace, ledger, "notes", "length:max_length=1")
        save_output("why?")


def test_outputs_without_a_prompt_are_compared_in_disjoint_pairs(
    workspace: Workspace, ledger: Ledger, save_output: Callable[..., str]
) -> None:
    for n in range(6):
        save_output("", "so " * n, row=0, request={"nonces": [n]})
    events = rate_pairs(workspace, ledger, "notes", "length:max_length=1")
    assert len({output for event in events for output in (event.body["a"], event.body["b"])}) == 6
    assert len(events) == 3


def test_the_choices_grow_with_the_outputs_and_not_with_their_square(
    workspace: Workspace, ledger: Ledger, save_output: Callable[..., str]
) -> None:
    def count_choices() -> int:
        return len(rate_pairs(workspace, ledger, "notes", "length:max_length=1"))

    for n in range(30):
        save_output("why?", "so " * (n + 1))
    assert count_choices() == 26 * 4 + 6
    save_output("why?", "so " * 50)
    assert count_choices() == 4, "only pairs with the new output"


def test_identical_outputs_are_not_compared(
    workspace: Workspace, ledger: Ledger, save_output: Callable[..., str]
) -> None:
    for text in ("so", "so", "because of it"):
        save_output("why?", text)
    assert len(rate_pairs(workspace, ledger, "notes", "length:max_length=1")) == 2


def test_a_check_of_another_medium_is_refused(
    workspace: Workspace, ledger: Ledger, save_output: Callable[..., str]
) -> None:
    save_output("why?", "C1CC1", medium="molecule")
    save_output("why?", "CC", medium="molecule")
    with raises_code("rate.check_of_other_medium", check="length", medium="molecule"):
        rate_pairs(workspace, ledger, "notes", "length:max_length=1")


def test_old_names_of_settings_are_read() -> None:
    assert parse_check("length:most=1")[1]("one two").score == 0.5
