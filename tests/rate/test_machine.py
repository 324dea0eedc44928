"""A check that rates: by its name a machine, once for every two outputs, ties where it finds no difference."""

import pytest

from genloom.rate.auto_rater import parse_check, rate_pairs
from genloom.store.ledger import Ledger
from genloom.store.workspace import Workspace


def test_the_better_output_wins_and_the_ledger_says_that_a_machine_chose(workspace, ledger: Ledger, told) -> None:
    long, short, other = told("why?", "because of it"), told("why?", "so"), told("when?", "now")
    [event] = rate_pairs(workspace, ledger, "notes", "length:max_length=1")
    assert event.body["rater"] == "judge-length"
    assert event.body["machine"]
    assert event.body[event.body["winner"]] == short
    assert other not in (event.body["a"], event.body["b"])
    assert rate_pairs(workspace, ledger, "notes", "length:max_length=1") == [], "once is enough"
    assert rate_pairs(workspace, ledger, "notes", "length:min_length=1")[0].body["winner"] == "tie"
    assert long in (event.body["a"], event.body["b"])


def test_settings_are_checked() -> None:
    assert parse_check("regex:pattern=[!];is_absent=true")[1]("so!").score == 0
    with pytest.raises(ValueError, match="no check 'lenght'"):
        parse_check("lenght")
    with pytest.raises(ValueError, match="Unknown setting"):
        parse_check("length:max=1")


def test_one_output_a_prompt_cannot_be_compared(workspace: Workspace, ledger: Ledger, told) -> None:
    told("why?")
    with pytest.raises(ValueError, match="no two outputs"):
        rate_pairs(workspace, ledger, "notes", "length:max_length=1")
