"""Names that people give, and ids that sort by time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genloom.store.names import checked, is_id, timed_id, unknown


@pytest.mark.parametrize("name", ["notes", "Grüße", "日本語", "हिन्दी", "v1.2_final-b", "my notes", "7"])
def test_names_of_any_script_are_fine(name: str) -> None:
    assert checked(name, "model") == name


def test_composed_and_decomposed_names_are_one() -> None:
    assert checked("Cafe\u0301", "model") == checked("Caf\u00e9", "model")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "empty"),
        ("..", "start with a letter"),
        ("../etc", "contains '/'"),
        ("a/b", "contains '/'"),
        ("a\\b", "contains"),
        (".hidden", "start with a letter"),
        ("-rf", "start with a letter"),
        ("trailing ", "not end"),
        ("a\nb", "contains"),
        ("a\x00b", "contains"),
        ("bell\u202e", "contains"),
        ("\ud800", "not valid Unicode"),
        ("x" * 129, "129 bytes long"),
        ("語" * 43, "129 bytes long"),
    ],
)
def test_names_that_could_do_harm_are_refused(name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        checked(name, "model")


@given(st.text())
def test_a_name_that_passes_is_one_plain_folder(name: str) -> None:
    try:
        passed = checked(name, "model")
    except ValueError:
        return
    assert "/" not in passed
    assert passed not in (".", "..")
    assert "\x00" not in passed
    assert checked(passed, "model") == passed


def test_the_nearest_name_is_suggested() -> None:
    assert str(unknown("model", "nots", ["notes", "songs"], "")) == "There is no model 'nots'. Did you mean 'notes'?"
    assert "There is 'notes', 'songs'." in str(unknown("model", "zebra", ["songs", "notes"], ""))
    assert "none at all yet. Train one." in str(unknown("model", "zebra", [], "Train one."))


@given(st.datetimes(timezones=st.just(UTC)), st.floats(0.001, 1e7))
def test_ids_sort_by_time(moment: datetime, seconds: float) -> None:
    try:
        later = moment + timedelta(seconds=seconds)
    except OverflowError:
        return
    if moment.year < 1000:
        return
    assert timed_id(moment) < timed_id(later)
    assert is_id(timed_id(moment))


def test_counting_up_gives_the_next_id() -> None:
    moment = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert timed_id(moment) == "2026-11-21-g00000"
    assert timed_id(moment, later=1) == "2026-11-21-g00001"


@pytest.mark.parametrize(
    "text", ["", "2026-11-21-../../", "2026-11-21", "2026-11-21-g0000u", "2026/11/21-g00000", "²026-11-21-g00000"]
)
def test_what_is_not_an_id_is_known(text: str) -> None:
    assert not is_id(text)
