"""Names that people give, and ids that sort by time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genloom.store.names import is_timed_id, make_timed_id, unknown_name_error, validate_name


@pytest.mark.parametrize("name", ["notes", "Grüße", "日本語", "हिन्दी", "v1.2_final-b", "my notes", "7"])
def test_names_of_any_script_are_fine(name: str) -> None:
    assert validate_name(name, "model") == name


def test_composed_and_decomposed_names_are_one() -> None:
    assert validate_name("Cafe\u0301", "model") == validate_name("Caf\u00e9", "model")


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
        validate_name(name, "model")


@given(st.text())
def test_a_name_that_passes_is_one_plain_folder(name: str) -> None:
    try:
        passed = validate_name(name, "model")
    except ValueError:
        return
    assert "/" not in passed
    assert passed not in (".", "..")
    assert "\x00" not in passed
    assert validate_name(passed, "model") == passed


def test_the_nearest_name_is_suggested() -> None:
    assert (
        str(unknown_name_error("model", "nots", ["notes", "songs"], ""))
        == "There is no model 'nots'. Did you mean 'notes'?"
    )
    assert "There is 'notes', 'songs'." in str(unknown_name_error("model", "zebra", ["songs", "notes"], ""))
    assert "none at all yet. Train one." in str(unknown_name_error("model", "zebra", [], "Train one."))


@given(st.datetimes(timezones=st.just(UTC)), st.floats(0.001, 1e7))
def test_ids_sort_by_time(moment: datetime, seconds: float) -> None:
    try:
        later = moment + timedelta(seconds=seconds)
    except OverflowError:
        return
    if moment.year < 1000:
        return
    assert make_timed_id(moment) < make_timed_id(later)
    assert is_timed_id(make_timed_id(moment))


def test_counting_up_gives_the_next_id() -> None:
    moment = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert make_timed_id(moment) == "2026-11-21-g00000"
    assert make_timed_id(moment, offset=1) == "2026-11-21-g00001"


@pytest.mark.parametrize(
    "text", ["", "2026-11-21-../../", "2026-11-21", "2026-11-21-g0000u", "2026/11/21-g00000", "²026-11-21-g00000"]
)
def test_what_is_not_an_id_is_known(text: str) -> None:
    assert not is_timed_id(text)
