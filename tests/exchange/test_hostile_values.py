"""Values of wrong kinds in the files of a model to import are one error each, never a traceback."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from genloom.codecs import tokenizer_json
from genloom.codecs.tokenizer import Codec, Config
from genloom.codecs.tokenizer_json import build_tokenizer, parse_tokenizer_json
from genloom.errors import GenloomError
from genloom.exchange import huggingface
from genloom.exchange.importer import import_model
from genloom.exchange.vocabulary import from_gguf, has_bos_step
from genloom.store.workspace import Workspace
from tests.errors import raises_code

ODD: list[Any] = [None, True, 7, -1, 1e400, "x", [], [1, 2], ["x"], [[]], {}, {"a": 1}, {"single": 3}, "\x1b[2J"]
SIZES = {
    "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8, "vocab_size": 3,
    "rms_norm_eps": 1e-5,
}  # fmt: skip
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


def replace_at(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    if not path:
        return odd
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replace_at(value[path[0]], path[1:], odd)
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
        content = json.dumps(replace_at(TOKENIZER, path, odd))

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


def with_pattern(regex: str) -> str:
    split = {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}
    return json.dumps({**TOKENIZER, "normalizer": None, "pre_tokenizer": split})


@pytest.mark.parametrize("regex", ["(a+)+$", "(a|aa)*b", "(?:a{1,9}){9}", "[)](a)?+", "((a)?)*"])
def test_patterns_that_repeat_a_group_are_refused(regex: str) -> None:
    with raises_code("codecs.pattern_repeats_group"):
        parse_tokenizer_json(with_pattern(regex))


@pytest.mark.parametrize("regex", [r"[()+]*x", r"\)+", r" ?[^(\s|[.,!?])]+", r"(?i:'s|'t)?\p{L}+|\s+(?!\S)", "(a)b+"])
def test_other_patterns_are_not(regex: str) -> None:
    parse_tokenizer_json(with_pattern(regex))


def test_a_pattern_that_takes_too_long_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer_json, "_ENCODE_SECONDS", 0.2)
    monkeypatch.setattr(tokenizer_json, "_MIN_CHARS_PER_SECOND", 1 << 20)
    codec = Codec.from_json(with_pattern("a*a*[bc]d"), Config())
    assert len(codec.encode("ab" * 10)) == 20
    start = time.process_time()
    with raises_code("codecs.pattern_too_slow"):
        codec.encode("a" * 900 + "b")
    assert time.process_time() - start < 2


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
    assert huggingface.read_card(tmp_path) == {"license": "my\ufffd[2Jown"}


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


@pytest.mark.parametrize("target", ["/dev/zero", "/proc/kmsg", "/proc/self/mem", "nowhere", "/etc"])
def test_files_that_are_links_to_devices_are_not_waited_for(target: str, tmp_path: Path) -> None:
    """/proc/kmsg, for one, is a regular file of no size, and reading it waits for ever."""
    for name in ("config.json", "tokenizer_config.json", "README.md", "LICENSE", "adapter_config.json", "model.gguf"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)
        for source in (folder, folder / name):
            with pytest.raises(GenloomError):
                import_model(Workspace(tmp_path / "workspace"), str(source), None, lambda done, what: None)


def test_names_that_the_system_does_not_have(tmp_path: Path) -> None:
    workspace, not_utf8 = Workspace(tmp_path / "workspace"), os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    Path(not_utf8).mkdir()
    for source, code in ((not_utf8, "exchange.path_not_utf8"), ("~nobody-of-this-name/x", "store.unknown_home")):
        with raises_code(code):
            import_model(workspace, source, None, lambda done, what: None)
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"], **SIZES}))
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "x" * 5000}}))
    with raises_code("exchange.import_failed", cause="exchange.missing_file"):
        import_model(workspace, str(tmp_path), "x", lambda done, what: None)
