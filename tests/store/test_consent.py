"""Consent files are checked, bounded, and tell on which day a consent holds."""

from datetime import date
from pathlib import Path

import pytest

from genloom.errors import GenloomError
from genloom.store.consent import MAX_CHARS, MAX_CONSENTS, read_consent_file, read_consents, read_persons

GOOD = """
[consents.anna]
who = "Anna Berger"
of = ["voice"]
purposes = ["training", "generation"]
signed = 2026-11-01
signature = "Anna Berger; the paper is in folder 12"
until = 2027-12-31
note = "her poems, for our audio guide"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "consent.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_tells_who_what_for_and_until_when(tmp_path: Path) -> None:
    [consent] = read_consent_file(write(tmp_path, GOOD)).consents
    assert (consent.who, consent.of, consent.until) == ("Anna Berger", ("voice",), date(2027, 12, 31))
    assert read_consents({"consents": [consent.to_json()]}) == (consent,)


@pytest.mark.parametrize(
    ("day", "withdrawn", "state"),
    [
        (date(2026, 10, 31), None, "not yet valid"),
        (date(2026, 11, 1), None, "valid"),
        (date(2027, 12, 31), None, "valid"),
        (date(2028, 1, 1), None, "expired"),
        (date(2027, 1, 2), "2027-01-02", "withdrawn"),
        (date(2027, 1, 1), "2027-01-02", "valid"),
    ],
)
def test_a_consent_holds_from_its_signature_to_its_end(
    tmp_path: Path, day: date, withdrawn: str | None, state: str
) -> None:
    text = GOOD + (f"withdrawn = {withdrawn}\n" if withdrawn else "")
    [consent] = read_consent_file(write(tmp_path, text)).consents
    assert consent.get_state(day) == state


@pytest.mark.parametrize(
    "text",
    [
        "",
        "consents = 3",
        "[consents]",
        "[consent.anna]\nwho = 'Anna'",
        "[consents.anna",
        *(
            "\n".join(line for line in GOOD.splitlines() if not line.startswith(name))
            for name in ("who", "of =", "purposes", "signed", "signature")
        ),
        GOOD.replace("2026-11-01", '"yesterday"'),
        GOOD.replace("2026-11-01", "2026-11-01T10:00:00"),
        GOOD.replace("2027-12-31", "2026-10-31"),
        GOOD.replace('["voice"]', '["soul"]'),
        GOOD.replace('"training"', '"everything"'),
        GOOD + "age = 3",
        GOOD.replace("Anna Berger;", "x" * (MAX_CHARS + 1)),
        GOOD.replace('"Anna Berger"', '"Anna\\u001b[2J"'),
        GOOD + GOOD.replace("consents.anna", "consents.again"),
        "\n".join(GOOD.replace("anna", f"p{n}").replace("Anna Berger", f"P{n}") for n in range(MAX_CONSENTS + 1)),
        "#" * 1_000_001,
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(GenloomError) as caught:
        read_consent_file(write(tmp_path, text))
    assert caught.value.code == "store.bad_consent"


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GenloomError) as caught:
        read_consent_file(tmp_path / "none.toml")
    assert caught.value.code == "store.bad_consent"


@pytest.mark.parametrize("stated", [["soul"], ["none", "voice"]])
def test_unknown_likenesses_are_refused(stated: list[str]) -> None:
    with pytest.raises(GenloomError) as caught:
        read_persons(stated, None)
    assert caught.value.code == "store.bad_persons"


def test_nobody_and_a_consent_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(GenloomError) as caught:
        read_persons(["none"], write(tmp_path, GOOD))
    assert caught.value.code == "store.bad_persons"
    assert read_persons([], write(tmp_path, GOOD)).stated == ("voice",)


@pytest.mark.parametrize("entry", [None, 3, {}, {"consents": 3}, {"consents": [3, {"who": 1}, {}]}])
def test_records_of_later_versions_are_left_out(entry: object) -> None:
    assert read_consents(entry) == ()
