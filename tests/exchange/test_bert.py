"""BERT models are imported with their vocabulary, fill blanks, and compute what the published formula does."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import genloom as gl
from genloom.codecs import wordpiece
from genloom.codecs.wordpiece import Codec, Config
from genloom.model import load_model
from genloom.text_encoders.minilm import bert as sentence_bert
from tests.errors import raises_code

WORDS = (
    *wordpiece.SPECIAL_TOKENS,
    *("the", "girl", "saw", "sea", "a", "b", "c", ".", ",", "-", "(", ")", "café", "cafe", "##s", "##y"),
)
WIDTH, HEADS, DEPTH = 24, sentence_bert.NUM_HEADS, 2


def write_bert(folder: Path, has_head: bool = True, **settings: Any) -> Path:
    """Write a folder with a random BERT model, as the hub's are."""
    config = {
        "architectures": ["BertForMaskedLM" if has_head else "BertModel"], "hidden_size": WIDTH,
        "num_hidden_layers": DEPTH, "num_attention_heads": HEADS, "intermediate_size": 40, "hidden_act": "gelu",
        "max_position_embeddings": 16, "type_vocab_size": 2, "vocab_size": len(WORDS), "layer_norm_eps": 1e-12,
        **settings,
    }  # fmt: skip
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(WORDS), WIDTH),
        "embeddings.position_embeddings.weight": (16, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        "embeddings.LayerNorm": (WIDTH,),
        "pooler.dense": (WIDTH, WIDTH),
    }
    for n in range(DEPTH):
        layer = f"encoder.layer.{n}"
        shapes |= {f"{layer}.attention.self.{part}": (WIDTH, WIDTH) for part in ("query", "key", "value")}
        shapes |= {f"{layer}.attention.output.dense": (WIDTH, WIDTH), f"{layer}.attention.output.LayerNorm": (WIDTH,)}
        shapes |= {f"{layer}.intermediate.dense": (40, WIDTH), f"{layer}.output.dense": (WIDTH, 40)}
        shapes |= {f"{layer}.output.LayerNorm": (WIDTH,)}
    shapes = {f"bert.{name}" if has_head else name: shape for name, shape in shapes.items()}
    if has_head:
        shapes |= {"cls.predictions.transform.dense": (WIDTH, WIDTH), "cls.predictions.transform.LayerNorm": (WIDTH,)}
    generator, tensors = torch.Generator().manual_seed(0), {}
    for name, shape in shapes.items():
        if name.endswith(".weight"):
            tensors[name] = torch.randn(shape, generator=generator)
            continue
        tensors[f"{name}.weight"] = torch.randn(shape, generator=generator) * 0.3 + (len(shape) == 1)
        tensors[f"{name}.bias"] = torch.randn(shape[:1], generator=generator) * 0.1
    if has_head:
        tensors["cls.predictions.bias"] = torch.randn(len(WORDS), generator=generator)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in WORDS))
    save_file(tensors, folder / "model.safetensors")
    return folder


def change_tensors(folder: Path, changes: dict[str, torch.Tensor]) -> None:
    path = folder / "model.safetensors"
    save_file({**load_file(path), **changes}, path)


def test_an_imported_model_fills_blanks_and_keeps_the_rest(tmp_path: Path) -> None:
    ws = gl.Workspace(tmp_path / "home")
    model = ws.import_model(str(write_bert(tmp_path / "tiny")))
    assert model.card["source"]["architecture"] == "BertForMaskedLM"
    assert model.card["parity"]["relative_error"] < 1e-4
    prompt = "The [MASK] saw  the SEA, [MASK][MASK]."
    outputs = ws.model("tiny").generate(prompt, n=3, seed=1)
    for output in outputs:
        assert output.value.startswith("The ")
        assert "  the SEA, " in output.value, "what is not a blank stays as it is, capitals and blanks too"
        assert output.value.endswith(".")
        filled = output.value.removeprefix("The ").split(" saw")[0]
        assert filled in {word.removeprefix("##") for word in WORDS if not word.startswith("[")}
    assert outputs[0].replay() == outputs[0].value


def test_hidden_states_are_those_of_the_sentence_encoder(tmp_path: Path) -> None:
    """The encoder that ships computes the vectors of sentence-transformers, and it shares no code with this network."""
    folder = write_bert(tmp_path / "tiny", has_head=False)
    ws = gl.Workspace(tmp_path / "home")
    imported = ws.import_with_report(str(folder))
    assert "--method head" in imported.notes[0]
    words, layers = sentence_bert.convert_weights(load_file(folder / "model.safetensors"), 16, DEPTH)
    encoder = sentence_bert.Bert(words["weight"], torch.ones(len(WORDS), 1), layers)
    ids = torch.tensor([[2, 5, 6, 7, 8, 3]])
    network = load_model(ws.store, "tiny").parts["model"]
    torch.testing.assert_close(network(ids, return_logits=False), encoder(ids), atol=1e-5, rtol=1e-4)


def test_word_pieces_make_letters_small_and_end_in_written_text() -> None:
    codec = Codec.from_tokens(WORDS, Config())
    assert codec.decode(codec.encode("The CAFÉS, (seas) ...")) == "the cafes, (seas)..."
    assert codec.encode("[MASK]").tolist() == [codec.special_tokens["[UNK]"]] * 3, "text is never a special token"
    cased = Codec.from_tokens(WORDS, Config(is_lower=False))
    assert cased.decode(cased.encode("café Sea")) == "café"
    assert list(map(len, codec.encode_many(["the sea", ""]))) == [2, 0]


def test_a_vocabulary_is_saved_and_loaded(tmp_path: Path) -> None:
    Codec.from_tokens(WORDS, Config(16, False)).save(tmp_path / "codec")
    codec = Codec.load(tmp_path / "codec")
    assert (codec.tokens, codec.config) == (WORDS, Config(16, False))
    (tmp_path / "codec" / "vocab.txt").write_text("the\n")
    with raises_code("codecs.damaged_tokenizer"):
        Codec.load(tmp_path / "codec")
    with raises_code("codecs.wordpiece_is_pretrained"):
        Codec.fit([], Config())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"more": torch.zeros(2)}, "holds the tensor 'more'"),
        ({"cls.predictions.bias": torch.zeros(3)}, "shape (3,)"),
        ({"cls.predictions.decoder.weight": torch.zeros(len(WORDS), WIDTH)}, "differs from the embedding"),
        ({"cls.predictions.bias": torch.full((len(WORDS),), np.nan)}, "not finite"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, torch.Tensor], reason: str) -> None:
    folder = write_bert(tmp_path / "tiny")
    change_tensors(folder, changes)
    ws = gl.Workspace(tmp_path / "home")
    with pytest.raises(gl.GenloomError, match=reason.replace("(", r"\(").replace(")", r"\)")):
        ws.import_model(str(folder))
    assert list(ws.models) == []


def test_settings_and_vocabularies_that_are_not_supported_are_refused(tmp_path: Path) -> None:
    ws = gl.Workspace(tmp_path / "home")
    with pytest.raises(gl.GenloomError, match="hidden_act of 'relu'"):
        ws.import_model(str(write_bert(tmp_path / "relu", hidden_act="relu")))
    folder = write_bert(tmp_path / "short")
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in WORDS[:-1]))
    with pytest.raises(gl.GenloomError, match="token types"):
        ws.import_model(str(folder))
    (folder / "vocab.txt").unlink()
    with pytest.raises(gl.GenloomError, match=r"vocab\.txt"):
        ws.import_model(str(folder))
    vocab = {word: token_id for token_id, word in enumerate(WORDS)}
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"type": "WordPiece", "vocab": vocab}}))
    assert ws.import_model(str(folder)).name == "short"
