"""Names that people give, and ids that sort by time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genloom.store.names import is_timed_id, make_timed_id, unknown_name_error, validate_name
from tests.errors import raises_code


@pytest.mark.parametrize("name", ["notes", "Grüße", "日本語", "हिन्दी", "v1.2_final-b", "my notes", "7"])
def test_names_of_any_script_are_valid(name: str) -> None:
    assert validate_name(name, "model") == name


def test_composed_and_decomposed_names_are_one() -> None:
    assert validate_name("Cafe\u0301", "model") == validate_name("Caf\u00e9", "model")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "empty_name"),
        (5, "name_not_text"),
        ("..", "bad_name_ends"),
        ("../etc", "bad_name_chars"),
        ("a/b", "bad_name_chars"),
        ("a\\b", "bad_name_chars"),
        (".hidden", "bad_name_ends"),
        ("-rf", "bad_name_ends"),
        ("trailing ", "bad_name_ends"),
        ("a\nb", "bad_name_chars"),
        ("a\x00b", "bad_name_chars"),
        ("bell\u202e", "bad_name_chars"),
        ("\ud800", "invalid_unicode_name"),
        ("x" * 129, "name_too_long"),
        ("語" * 43, "name_too_long"),
    ],
)
def test_unsafe_names_are_refused(name: str, code: str) -> None:
    with raises_code(f"store.{code}", kind="model"):
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
    near = unknown_name_error("model", "nots", ["notes", "songs"], "")
    assert (near.code, near.fields["nearest"]) == ("store.unknown_name_near", "notes")
    listed = unknown_name_error("model", "zebra", ["songs", "notes"], "")
    assert (listed.code, listed.fields["known"]) == ("store.unknown_name", "'notes', 'songs'")
    none = unknown_name_error("model", "zebra", [], "Train one.")
    assert (none.code, none.fields["cure"]) == ("store.nothing_known", "Train one.")


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


def test_an_offset_gives_the_next_id() -> None:
    moment = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert make_timed_id(moment) == "2026-11-21-g00000"
    assert make_timed_id(moment, offset=1) == "2026-11-21-g00001"


@pytest.mark.parametrize(
    "text", ["", "2026-11-21-../../", "2026-11-21", "2026-11-21-g0000u", "2026/11/21-g00000", "²026-11-21-g00000"]
)
def test_other_text_is_not_an_id(text: str) -> None:
    assert not is_timed_id(text)
