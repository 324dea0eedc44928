"""Adapters of PEFT: the library and we compute the same, in both directions; what is not supported is named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from genloom.exchange import adapter_importer
from genloom.exchange.exporter import export_model
from genloom.exchange.importer import ImportResult, import_model
from genloom.model import load_model
from genloom.store.workspace import Workspace
from tests.errors import raises_code
from tests.exchange.test_families import IDS, build_hf_model, logits, save_hf_folder

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
ATTENTION, MLP = ["q_proj", "k_proj", "v_proj", "o_proj"], ["gate_proj", "up_proj", "down_proj"]
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {"r": 3, "lora_alpha": 5, "target_modules": [*ATTENTION, *MLP]},
    "rslora": {"r": 4, "lora_alpha": 3, "target_modules": ["q_proj", "v_proj"], "use_rslora": True},
    "dora": {"r": 3, "lora_alpha": 5, "target_modules": ["k_proj", "down_proj"], "use_dora": True},
}


def quiet(done: float, what: str) -> None:
    pass


def build_adapter(base: Any, folder: Path, **settings: Any) -> Any:
    """Return the model with a random adapter, which is saved by PEFT."""
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **settings)).eval()
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight += torch.randn(weight.shape, generator=noise) * 0.2
    model.save_pretrained(str(folder))
    return model


@pytest.fixture
def base(hf: ModuleType, tokenizer: Any, workspace: Workspace, tmp_path: Path) -> Any:
    """A small Llama, imported as `base`."""
    model = build_hf_model(hf, "llama")
    import_model(workspace, str(save_hf_folder(model, tokenizer, tmp_path / "source")), "base", quiet)
    return model


@pytest.fixture
def folder(base: Any, tmp_path: Path) -> Path:
    """An adapter of `base`."""
    build_adapter(base, tmp_path / "adapter", **SETTINGS["plain"])
    return tmp_path / "adapter"


@pytest.mark.parametrize("name", SETTINGS)
def test_an_adapter_computes_what_peft_does(name: str, base: Any, workspace: Workspace, tmp_path: Path) -> None:
    model = build_adapter(base, tmp_path / "adapter", **SETTINGS[name])
    (tmp_path / "adapter" / "config.json").write_text("{}")  # some have that of their base beside them
    imported = import_model(workspace, str(tmp_path / "adapter"), None, quiet, base="base")
    assert imported.folder.ref == "adapter/1"
    assert imported.folder.parent_ref == "base/1"
    assert imported.parity is not None
    assert imported.parity.relative_error < 1e-5
    with torch.no_grad():
        expected, without = model(IDS).logits, model.get_base_model()
    ours = logits(load_model(workspace, "adapter"), IDS)
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)
    assert (ours - logits(load_model(workspace, "base"), IDS)).abs().max() > 0.01, without


def test_an_exported_adapter_opens_by_its_own_config(
    folder: Path, workspace: Workspace, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PEFT finds the base below the current folder, never on the hub, where its name may belong to a stranger."""
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoTokenizer

    import_model(workspace, str(folder), "tuned", quiet, base="base")
    out = export_model(workspace, "tuned", "peft", tmp_path / "out", None, quiet).path
    assert json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"] == "./base-1"
    assert json.loads((workspace.get_model("tuned").folder / "adapter/adapter_config.json").read_text())[
        "base_model_name_or_path"
    ] is None  # fmt: skip
    export_model(workspace, "base", "hf", tmp_path / "base-1", None, quiet)
    monkeypatch.chdir(tmp_path)
    words: Any = AutoTokenizer.from_pretrained(out)
    back = AutoPeftModelForCausalLM.from_pretrained(out).eval()
    with torch.no_grad():
        torch.testing.assert_close(back(IDS).logits, logits(load_model(workspace, "tuned"), IDS), atol=1e-4, rtol=1e-4)
    assert words("The capital")["input_ids"] == tokenizer("The capital")["input_ids"]
    again = import_model(workspace, str(out), "again", quiet)  # its base is known by the name that we gave it
    assert again.folder.parent_ref == "base/1"


def test_an_adapter_is_imported_onto_a_tuned_model(folder: Path, workspace: Workspace) -> None:
    import_model(workspace, str(folder), "first", quiet, base="base")
    (folder / "LICENSE").write_text("of the adapter")
    second = import_model(workspace, str(folder), "second", quiet, base="first")
    assert second.folder.parent_ref == "first/1"
    assert second.parity is not None
    assert second.parity.relative_error < 1e-4
    out = export_model(workspace, "second", "hf", folder.parent / "out", None, quiet).path
    assert (out / "second-LICENSE").read_text() == "of the adapter"
    assert "contains the adapter" in (out / "README.md").read_text()


def test_the_chat_template_beside_an_adapter_is_taken(folder: Path, workspace: Workspace, tokenizer: Any) -> None:
    from tests.exchange.test_families import CHATML

    assert not import_adapter(folder, workspace).has_chat_template
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": CHATML}))
    assert import_adapter(folder, workspace).has_chat_template
    path.write_text(json.dumps({"chat_template": "{{ messages }}"}))
    imported = import_adapter(folder, workspace)
    assert (imported.has_chat_template, len(imported.notes)) == (False, 1)


def test_an_adapter_that_lies_beside_a_model_is_told(folder: Path, workspace: Workspace, tmp_path: Path) -> None:
    shutil.copy(folder / "adapter_config.json", tmp_path / "source")
    shutil.copy(folder / "adapter_model.safetensors", tmp_path / "source")
    imported = import_model(workspace, str(tmp_path / "source"), "both", quiet)
    assert not imported.folder.parent_ref
    (note,) = (note for note in imported.notes if "adapter" in note)
    assert "--base" in note


def import_adapter(folder: Path, workspace: Workspace) -> ImportResult:
    return import_model(workspace, str(folder), None, quiet, base="base")


def set_field(**fields: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))

    return change


def add_tensor(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "adapter_model.safetensors"
        save_file({**load_file(path), name: torch.ones(3, 32)}, path)

    return change


def pickle_weights(folder: Path) -> None:
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


def write_tokenizer(folder: Path) -> None:
    content = json.loads((folder.parent / "source" / "tokenizer.json").read_text())
    content["model"]["merges"] = content["model"]["merges"][:5]
    (folder / "tokenizer.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "cause", "text"),
    [
        (set_field(modules_to_save=["lm_head"]), "networks.peft_setting", "modules_to_save"),
        (set_field(bias="lora_only"), "networks.peft_setting", "bias"),
        (set_field(rank_pattern={"q_proj": 2}), "networks.peft_setting", "rank_pattern"),
        (set_field(init_lora_weights="pissa"), "networks.peft_init", "pissa"),
        (set_field(r="3"), "networks.peft_number", "r must be"),
        (add_tensor("base_model.model.lm_head.lora_A.weight"), "networks.peft_unknown_tensor_nearest", "model.lm_head"),
        (pickle_weights, "exchange.pickled_weights", "adapter_model.bin"),
        (lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"x"), "networks.peft_unreadable", ""),
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), "exchange.missing_file", ""),
        (write_tokenizer, "exchange.adapter_vocabulary", ""),
    ],
)
def test_what_is_not_supported_is_named_and_leaves_nothing(
    change: Callable[[Path], None], cause: str, text: str, folder: Path, workspace: Workspace
) -> None:
    change(folder)
    with raises_code("exchange.import_failed", cause=cause) as caught:
        import_adapter(folder, workspace)
    assert text in str(caught.value)
    assert [model.ref for model in workspace.list_models()] == ["base/1"]
    assert not workspace.list_leftovers()


def test_a_failed_parity_check_leaves_nothing(
    folder: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter_importer, "read_adapted_weights", lambda path, tensors, config: tensors.get)
    with raises_code("exchange.parity_failed"):
        import_adapter(folder, workspace)
    assert [model.ref for model in workspace.list_models()] == ["base/1"]


@pytest.mark.parametrize("declared", ["stranger/model", None, 7, {"a": 1}, "\x1b[2J"])
def test_a_base_that_is_not_known_is_an_error(declared: Any, folder: Path, workspace: Workspace) -> None:
    set_field(base_model_name_or_path=declared)(folder)
    with raises_code("exchange.adapter_base_unknown", path=folder):
        import_model(workspace, str(folder), None, quiet)


def test_a_base_is_for_adapters_only(base: Any, workspace: Workspace, tmp_path: Path) -> None:
    with raises_code("exchange.base_without_adapter", base="base"):
        import_model(workspace, str(tmp_path / "source"), None, quiet, base="base")


def test_a_base_that_is_no_transformer_is_refused_as_a_base(
    worlds: ModuleType, folder: Path, workspace: Workspace
) -> None:
    ref = worlds.create_blots(workspace)
    with raises_code("exchange.adapter_base_unsuitable", base=ref):
        import_model(workspace, str(folder), None, quiet, base=ref)


def test_adapters_of_gpt2_are_refused(
    hf: ModuleType, tokenizer: Any, folder: Path, workspace: Workspace, tmp_path: Path
) -> None:
    source = save_hf_folder(build_hf_model(hf, "gpt2"), tokenizer, tmp_path / "gpt2")
    import_model(workspace, str(source), "gpt", quiet)
    with raises_code("exchange.adapter_family", base="gpt/1"):
        import_model(workspace, str(folder), None, quiet, base="gpt")
