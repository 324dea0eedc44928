"""The transformers library, a small tokenizer and an empty workspace."""

import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from genloom.store.workspace import Workspace

TEXTS = ["The capital of France is Paris, and 12 of 34 said so: it's fine.\n" * 20, "def f(x):\n    return x\n" * 20]
SPECIALS = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
    "<|begin_of_text|>", "<s>", "</s>",
]  # fmt: skip


@pytest.fixture(scope="module")
def hf() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers
        from transformers.utils import logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    return transformers


@pytest.fixture(scope="module")
def tokenizer(hf: ModuleType) -> Any:
    inside = Tokenizer(models.BPE())
    inside.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inside.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=310, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False
    )
    inside.train_from_iterator(TEXTS, trainer)
    return hf.PreTrainedTokenizerFast(tokenizer_object=inside, eos_token="<|endoftext|>", bos_token="<|endoftext|>")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path / "workspace"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Workspace(tmp_path / "workspace")
