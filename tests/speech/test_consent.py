"""A collected voice needs the consent of its person, which stays in the card of the data and decides about training."""

from pathlib import Path

import numpy as np
import pytest

import genloom as gl
from genloom.errors import GenloomError

soundfile = pytest.importorskip("soundfile")
CONSENT = """
[consents.anna]
who = "Anna Example"
of = ["voice"]
purposes = ["training"]
signed = 2026-01-15
signature = "on paper, in the folder A"
"""


def write_voice(folder: Path) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(8):
        time = np.arange(16_000) / 16_000
        tone = 0.3 * np.sin(2 * np.pi * (110 + 30 * number) * time) + 0.05 * rng.standard_normal(len(time))
        soundfile.write(folder / f"sentence-{number}.wav", tone.astype(np.float32), 16_000)
    return folder


def test_a_voice_without_consent_is_collected_and_not_trained_on(tmp_path: Path) -> None:
    ws = gl.Workspace(tmp_path / "home")
    ws.collect(write_voice(tmp_path / "voice"), name="me", persons="voice")
    with pytest.raises(GenloomError) as caught:
        ws.train("me", steps=1)
    assert caught.value.code == "trust.consent_refused"


def test_the_consent_is_in_the_card_and_the_trace_of_the_data(tmp_path: Path) -> None:
    ws = gl.Workspace(tmp_path / "home")
    (tmp_path / "consent.toml").write_text(CONSENT)
    ws.collect(write_voice(tmp_path / "voice"), name="me", consent=tmp_path / "consent.toml")
    assert "Anna Example" in str(ws.card("me"))
    assert "Anna Example" in str(ws.trace("me"))
    (consent,) = ws.list_consents()
    assert "voice" in str(consent)
    ws.withdraw_consent("me", "Anna Example")
    with pytest.raises(GenloomError) as caught:
        ws.train("me", steps=1)
    assert caught.value.code == "trust.consent_refused"
