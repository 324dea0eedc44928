"""Values of wrong kinds in the files of a model to import are one error each, never a traceback."""

import json
from pathlib import Path
from typing import Any

import pytest

from genloom.codecs.tokenizer import Codec, Config
from genloom.codecs.tokenizer_json import build_tokenizer, parse_tokenizer_json
from genloom.errors import GenloomError
from genloom.exchange import huggingface
from genloom.exchange.vocabulary import from_gguf, has_bos_step

ODD: list[Any] = [None, True, 7, -1, 1e400, "x", [], [1, 2], ["x"], [[]], {}, {"a": 1}, {"single": 3}, "\x1b[2J"]
TOKENIZER = {
    "added_tokens": [{"id": 2, "content": "<|end|>", "special": True}],
    "normalizer": {
        "type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"String": " "}, "content": "_"}],
    },
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    "post_processor": {
        "type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}], "special_tokens": {},
    },
    "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [], "unk_token": None},
}  # fmt: skip


def iter_paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the paths to every value inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(inner for key, item in items for inner in iter_paths(item, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    if not path:
        return odd
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], odd)
    return copy


def allow_only_errors(read: Any) -> None:
    try:
        read()
    except GenloomError as error:
        message = str(error)
        assert len(message) < 6000, message[:200]


@pytest.mark.parametrize("path", iter_paths(TOKENIZER), ids=str)
def test_tokenizer_json(path: tuple[Any, ...]) -> None:
    for odd in ODD:
        content = json.dumps(replaced(TOKENIZER, path, odd))

        def read(content: str = content) -> None:
            parsed = parse_tokenizer_json(content)
            has_bos_step(parsed)
            build_tokenizer(parsed)
            Codec.from_json(content, Config()).encode("a b")

        allow_only_errors(read)


@pytest.mark.parametrize(
    "step",
    [
        {"type": "Replace", "pattern": {"String": ""}, "content": "x"},
        {"type": "Replace", "pattern": {"Regex": ""}, "content": "x"},
        {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1000},
        {"type": "Prepend", "prepend": "a" * 100_000},
    ],
    ids=str,
)
def test_steps_that_grow_a_text_are_refused(step: dict[str, Any]) -> None:
    with pytest.raises(GenloomError) as caught:
        parse_tokenizer_json(json.dumps({**TOKENIZER, "normalizer": step}))
    assert caught.value.code == "codecs.part_damaged"


def test_many_steps_that_each_double_a_text_are_refused() -> None:
    step = {"type": "Replace", "pattern": {"String": "a"}, "content": "aaaa"}
    content = {**TOKENIZER, "normalizer": {"type": "Sequence", "normalizers": [step] * 20}}
    with pytest.raises(GenloomError) as caught:
        parse_tokenizer_json(json.dumps(content))
    assert caught.value.code == "codecs.part_damaged"


@pytest.mark.parametrize("name", ["tokens", "token_type", "scores", "merges", "model", "pre", "add_space_prefix"])
def test_gguf_vocabularies(name: str) -> None:
    for model in ("gpt2", "llama"):
        metadata: dict[str, Any] = {
            "tokenizer.ggml.model": model, "tokenizer.ggml.tokens": ["a", "b"], "tokenizer.ggml.token_type": [1, 1],
            "tokenizer.ggml.scores": [0.0, 0.0], "tokenizer.ggml.merges": [], "tokenizer.ggml.pre": "gpt-2",
        }  # fmt: skip
        for odd in (*ODD, ["a" * 100_000, "b"], [[], []], [None, None], [1.5, "x"]):
            allow_only_errors(lambda odd=odd, metadata=metadata: from_gguf({**metadata, f"tokenizer.ggml.{name}": odd}))


def test_the_card_of_a_model_is_not_read_whole(tmp_path: Path) -> None:
    with (tmp_path / "README.md").open("wb") as file:
        file.write(b"license: my\x1b[2Jown\n")
        file.truncate(1 << 40)
    assert huggingface.read_licence(tmp_path) == "my\ufffd[2Jown"


@pytest.mark.parametrize("odd", ODD, ids=str)
@pytest.mark.parametrize("key", ["chat_template", "bos_token", "eos_token", "added_tokens_decoder", "add_bos_token"])
def test_tokenizer_config(key: str, odd: Any, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"], "hidden_size": 8}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({key: [{"name": odd, "template": odd}, odd]}))
    (tmp_path / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    settings = huggingface.read_json(tmp_path / "tokenizer_config.json")
    huggingface.read_chat_template(tmp_path, settings)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({key: odd}))
    allow_only_errors(lambda: huggingface.read(tmp_path))
