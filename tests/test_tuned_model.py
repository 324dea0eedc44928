"""Models tuned by adapters: opened on their base, stacked, switched, merged, replayed; refused without that base."""

import json
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from genloom.cli import run
from genloom.exchange.exporter import export_model
from genloom.generate import engine
from genloom.model import Model, build_networks, load_model, merge_adapters, save_adapter, save_model
from genloom.networks import lora, peft
from genloom.settings import to_toml
from genloom.store import manifest
from genloom.store.model_folder import is_essential_file
from genloom.store.workspace import Workspace
from genloom.testing import assert_close

X = torch.arange(40).view(2, 20) * 5 % 97


@pytest.fixture
def workspace(worlds: ModuleType, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    home = worlds.home(tmp_path_factory.getbasetemp() / "home")
    shutil.copytree(home.root / "models", tmp_path / "models")
    return Workspace(tmp_path)


def tuned(workspace: Workspace, name: str, base: str = "tales", seed: int = 1, **settings: Any) -> str:
    """A model tuned on `base`, as if it had been trained."""
    model = load_model(workspace, base)
    assert model.folder is not None
    torch.manual_seed(seed)
    lora.attach(network_of(model), lora.Config(2, 4.0, **settings))
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in network_of(model).parameters():
            p.add_(torch.randn(p.shape, generator=chance) * 0.2)
    making = workspace.create_model(name)
    with making as folder:
        save_adapter(model, "default", model.folder, folder, model.design.to_tables(), {"fact": {}})
    return making.result.ref


def network_of(model: Model) -> torch.nn.Module:
    return model.parts["model"]


def logits(model: Model) -> torch.Tensor:
    return network_of(model)(X).detach()


def test_a_tuned_model_holds_the_adapter_alone_and_opens_on_its_base(workspace: Workspace) -> None:
    ref = tuned(workspace, "notes", targets=("q", "v"))
    folder, base = workspace.get_model(ref), workspace.get_model("tales")
    inside = {path.relative_to(folder.folder).as_posix() for path in folder.folder.rglob("*") if path.is_file()}
    assert inside == {
        "card.json",
        "job.toml",
        "codec/codec.json",
        f"adapter/{peft.CONFIG_FILE}",
        f"adapter/{peft.WEIGHTS_FILE}",
    }
    job = tomllib.loads((folder.folder / "job.toml").read_text())
    assert job["base"] == {"ref": "tales/1", "digest": base.digest}
    assert (job["adapter"]["method"], job["adapter"]["rank"]) == ("lora", 2)
    assert folder.card["parents"] == [job["base"]]
    assert (folder.parent_ref, base.parent_ref) == ("tales/1", "")
    model, plain = load_model(workspace, "notes"), load_model(workspace, "tales")
    assert (model.ref, model.name, model.adapters, plain.adapters) == ("notes/1", "notes", ("notes/1",), ())
    assert model.design == plain.design
    assert (logits(model) - logits(plain)).abs().max() > 0.01
    assert not any(part.training for part in model.parts.modules())
    assert not any(p.requires_grad for p in model.parts.parameters())


def test_the_digest_covers_the_adapter(workspace: Workspace) -> None:
    first, same, other = (tuned(workspace, name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    digest = {ref: workspace.get_model(ref).digest for ref in (first, same, other)}
    assert digest[first] == digest[same] != digest[other]
    path = workspace.get_model(first).folder / "adapter" / peft.WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=r"adapter_model.safetensors is damaged"):
        load_model(workspace, first)


def test_a_tuned_model_is_tuned_further(workspace: Workspace) -> None:
    tuned(workspace, "notes")
    top = tuned(workspace, "letters", base="notes", seed=2, use_dora=True)
    model = load_model(workspace, top)
    assert model.adapters == ("notes/1", "letters/1")
    assert torch.equal(logits(model.with_adapters(("notes/1",))), logits(load_model(workspace, "notes")))
    assert torch.equal(logits(model.with_adapters(())), logits(load_model(workspace, "tales")))
    on_base = load_model(workspace, "tales", adapters=(top,))
    assert on_base.adapters == model.adapters
    assert torch.equal(logits(on_base), logits(model))


def test_adapters_are_added_and_switched_without_opening_the_base_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seed in (("notes", 1), ("letters", 2)):
        tuned(workspace, name, seed=seed)
    both = load_model(workspace, "tales", adapters=("notes", "letters/1"))
    assert both.adapters == ("notes/1", "letters/1")
    alone = {name: logits(load_model(workspace, name)) for name in ("tales", "notes", "letters")}
    onto = load_model(workspace, "notes", adapters=("letters",))
    assert torch.equal(logits(onto), logits(both))
    monkeypatch.setattr("genloom.model.load.load_file", lambda *_: pytest.fail("the base was opened again"))
    before = logits(both)
    assert torch.equal(logits(both.with_adapters(("letters/1",))), alone["letters"])
    assert torch.equal(logits(both.with_adapters(("notes/1",))), alone["notes"])
    assert torch.equal(logits(both.with_adapters(())), alone["tales"])
    again = both.with_adapters(()).with_adapters(("letters/1", "notes/1"))
    assert again.adapters == ("notes/1", "letters/1")
    assert torch.equal(logits(again), before)
    with pytest.raises(ValueError, match=r"no adapter 'poems/1' here. There is: notes/1, letters/1."):
        both.with_adapters(("poems/1",))


def test_a_tuned_model_is_merged_into_a_whole_one(workspace: Workspace) -> None:
    tuned(workspace, "notes")
    model = load_model(workspace, "notes")
    whole = merge_adapters(model)
    assert_close(logits(whole), logits(model), "merged")
    making = workspace.create_model("whole")
    with making as folder:
        save_model(whole, folder, model.design.to_tables(), {})
    stored = load_model(workspace, "whole")
    assert torch.equal(logits(stored), logits(whole))
    assert whole.adapters == stored.adapters == ()


def test_outputs_of_adapters_are_replayed_with_them(workspace: Workspace) -> None:
    for name, seed in (("notes", 1), ("letters", 2)):
        tuned(workspace, name, seed=seed)
    asked = engine.build_request(["The"], 1, 0, (), {"length": 12})
    both = load_model(workspace, "tales", adapters=("notes", "letters"))
    for model, acting in (
        (both, ("notes/1", "letters/1")),
        (both.with_adapters(("letters/1",)), ("letters/1",)),
        (load_model(workspace, "notes"), ("notes/1",)),
        (load_model(workspace, "notes").with_adapters(()), ()),
        (load_model(workspace, "tales"), ()),
    ):
        (output,) = engine.store_outputs(workspace, model, asked, engine.run_request(model, asked))
        assert tuple(workspace.get_output(output)[1]["adapters"]) == acting
        engine.replay_output(workspace, output)
    (output,) = engine.store_outputs(workspace, both, asked, engine.run_request(both, asked))
    shutil.rmtree(workspace.get_model("notes").folder)
    tuned(workspace, "notes", seed=3)
    with pytest.raises(ValueError, match=r"^notes/1 is not the model that wrote"):
        engine.replay_output(workspace, output)


def test_generate_takes_adapters_on_the_command_line(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    for name, seed in (("notes", 1), ("letters", 2)):
        tuned(workspace, name, seed=seed)
    where = ["--workspace", str(workspace.root), "--json"]
    given = ["--adapter", "notes", "--adapter", "letters/1", "--prompt", "The", "--max-tokens", "9", "--seed", "1"]
    assert run(["generate", "tales", *given, *where]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["adapters"] == ["notes/1", "letters/1"]
    assert run(["generate", "--replay", result["outputs"][0]["id"], *where]) == 0
    assert json.loads(capsys.readouterr().out)["identical"]
    assert run(["list", "models", *where]) == 0
    listed = json.loads(capsys.readouterr().out)["models"]
    assert {row["model"]: row["parent"] for row in listed} == {
        "letters/1": "tales/1",
        "masks/1": "",
        "notes/1": "tales/1",
        "tales/1": "",
    }


def test_an_adapter_leaves_in_peft_s_format_where_its_modules_have_llama_s_names(
    workspace: Workspace, tmp_path: Path
) -> None:
    ref = tuned(workspace, "notes", targets=("q", "down"))
    out = export_model(workspace, ref, "peft", tmp_path / "out", None, lambda share, what: None).path
    stored = workspace.get_model(ref).folder / "adapter"
    assert (out / peft.WEIGHTS_FILE).read_bytes() == (stored / peft.WEIGHTS_FILE).read_bytes()
    assert json.loads((out / peft.CONFIG_FILE).read_text())["target_modules"] == ["down_proj", "q_proj"]
    base = load_model(workspace, "tales")
    settings = {"width": 16, "heads": 2, "depth": 1, "activation": "gelu", "positions": "learned"}
    design = replace(base.design, network_settings=settings)
    other = replace(base, design=design, parts=build_networks(design, base.objective))
    making = workspace.create_model("other")
    with making as folder:
        save_model(other, folder, design.to_tables(), {})
    ref = tuned(workspace, "notes", base="other")
    with pytest.raises(ValueError, match=r"of another family. Export it whole: --to hf"):
        export_model(workspace, ref, "peft", tmp_path / "more", None, lambda share, what: None)
    assert not (tmp_path / "more").exists()


def resealed(workspace: Workspace, ref: str) -> None:
    manifest.finalize(workspace.root / "models" / ref, "card.json", is_essential_file, {"name": ref.split("/")[0]})


def rewritten(workspace: Workspace, ref: str, **changes: Any) -> None:
    path = workspace.root / "models" / ref / "job.toml"
    path.write_text(to_toml({**tomllib.loads(path.read_text()), **changes}))
    resealed(workspace, ref)


def test_without_its_base_a_tuned_model_is_refused(workspace: Workspace) -> None:
    tuned(workspace, "notes")
    rewritten(workspace, "tales/1", length=47)
    with pytest.raises(
        ValueError, match=r"^tales/1 is not the model that notes/1 was tuned on: [^\n]+tune again: genl"
    ):
        load_model(workspace, "notes")
    shutil.rmtree(workspace.root / "models/tales")
    with pytest.raises(ValueError, match=r"^The model notes/1 was tuned on tales/1, which is not here: [^\n]+$"):
        load_model(workspace, "notes")


def test_an_adapter_on_another_base_is_refused(workspace: Workspace) -> None:
    tuned(workspace, "notes")
    for base, adapter in (("masks", "notes"), ("tales", "masks"), ("tales", "tales")):
        with pytest.raises(
            ValueError, match=rf"^{adapter}/1 is no adapter on {base}/1. Make one: genloom train NAME --"
        ):
            load_model(workspace, base, adapters=(adapter,))


def test_broken_tuned_models_are_one_clear_error(workspace: Workspace) -> None:
    tuned(workspace, "notes")
    card = workspace.get_model("notes").card
    job = workspace.root / "models/notes/1/job.toml"
    was = job.read_text()
    job.write_text(was.replace("[base]", "[bass]"))
    resealed(workspace, "notes/1")
    with pytest.raises(ValueError, match=r"does not say which model notes/1 was tuned on. Tune again.$"):
        load_model(workspace, "notes")
    job.write_text(was)
    config = workspace.root / "models/notes/1/adapter" / peft.CONFIG_FILE
    config.write_text(config.read_text().replace('"r": 2', '"r": 3'))
    resealed(workspace, "notes/1")
    with pytest.raises(ValueError, match=r"^The model notes/1 cannot be opened: [^\n]+ has the shape "):
        load_model(workspace, "notes")
    # A card that claims to stand on itself.
    job.write_text(was.replace("tales/1", "notes/1").replace(card["parents"][0]["digest"], "d" * 64))
    path = job.with_name("card.json")
    path.write_text(json.dumps({**card, "digest": "d" * 64}))
    with pytest.raises(ValueError, match="tuned 8 times over"):
        load_model(workspace, "notes")
