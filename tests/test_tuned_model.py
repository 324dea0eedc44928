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
from genloom.exchange.exporting import send
from genloom.generate import engine
from genloom.model import Model, merged_model, open_model, parts_of, write_adapter, write_model
from genloom.networks import lora, peft
from genloom.settings import as_toml
from genloom.store import manifest
from genloom.store.model_folder import is_essential
from genloom.store.workspace import Workspace
from genloom.testing import agree

X = torch.arange(40).view(2, 20) * 5 % 97


@pytest.fixture
def workspace(worlds: ModuleType, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    home = worlds.home(tmp_path_factory.getbasetemp() / "home")
    shutil.copytree(home.root / "models", tmp_path / "models")
    return Workspace(tmp_path)


def tuned(workspace: Workspace, name: str, base: str = "tales", seed: int = 1, **settings: Any) -> str:
    """A model tuned on `base`, as if it had been trained."""
    model = open_model(workspace, base)
    assert model.folder is not None
    torch.manual_seed(seed)
    lora.attach(network_of(model), lora.Config(2, 4.0, **settings))
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in network_of(model).parameters():
            p.add_(torch.randn(p.shape, generator=chance) * 0.2)
    making = workspace.new_model(name)
    with making as folder:
        write_adapter(model, "default", model.folder, folder, model.design.tables(), {"fact": {}})
    return making.made.ref


def network_of(model: Model) -> torch.nn.Module:
    return model.parts["model"]


def logits(model: Model) -> torch.Tensor:
    return network_of(model)(X).detach()


def test_a_tuned_model_holds_the_adapter_alone_and_opens_on_its_base(workspace: Workspace) -> None:
    ref = tuned(workspace, "notes", targets=("q", "v"))
    folder, base = workspace.model(ref), workspace.model("tales")
    inside = {path.relative_to(folder.folder).as_posix() for path in folder.folder.rglob("*") if path.is_file()}
    assert inside == {
        "card.json",
        "job.toml",
        "codec/codec.json",
        f"adapter/{peft.CONFIG}",
        f"adapter/{peft.WEIGHTS}",
    }
    job = tomllib.loads((folder.folder / "job.toml").read_text())
    assert job["base"] == {"ref": "tales/1", "digest": base.digest}
    assert (job["adapter"]["method"], job["adapter"]["rank"]) == ("lora", 2)
    assert folder.card["parents"] == [job["base"]]
    assert (folder.parent, base.parent) == ("tales/1", "")
    model, plain = open_model(workspace, "notes"), open_model(workspace, "tales")
    assert (model.ref, model.name, model.adapters, plain.adapters) == ("notes/1", "notes", ("notes/1",), ())
    assert model.design == plain.design
    assert (logits(model) - logits(plain)).abs().max() > 0.01
    assert not any(part.training for part in model.parts.modules())
    assert not any(p.requires_grad for p in model.parts.parameters())


def test_the_digest_covers_the_adapter(workspace: Workspace) -> None:
    first, same, other = (tuned(workspace, name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    digest = {ref: workspace.model(ref).digest for ref in (first, same, other)}
    assert digest[first] == digest[same] != digest[other]
    path = workspace.model(first).folder / "adapter" / peft.WEIGHTS
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=r"adapter_model.safetensors is damaged"):
        open_model(workspace, first)


def test_a_tuned_model_is_tuned_further(workspace: Workspace) -> None:
    tuned(workspace, "notes")
    top = tuned(workspace, "letters", base="notes", seed=2, decomposed=True)
    model = open_model(workspace, top)
    assert model.adapters == ("notes/1", "letters/1")
    assert torch.equal(logits(model.switched(("notes/1",))), logits(open_model(workspace, "notes")))
    assert torch.equal(logits(model.switched(())), logits(open_model(workspace, "tales")))
    on_base = open_model(workspace, "tales", adapters=(top,))
    assert on_base.adapters == model.adapters
    assert torch.equal(logits(on_base), logits(model))


def test_adapters_are_added_and_switched_without_opening_the_base_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seed in (("notes", 1), ("letters", 2)):
        tuned(workspace, name, seed=seed)
    both = open_model(workspace, "tales", adapters=("notes", "letters/1"))
    assert both.adapters == ("notes/1", "letters/1")
    alone = {name: logits(open_model(workspace, name)) for name in ("tales", "notes", "letters")}
    onto = open_model(workspace, "notes", adapters=("letters",))
    assert torch.equal(logits(onto), logits(both))
    monkeypatch.setattr("genloom.model.opening.load_file", lambda *_: pytest.fail("the base was opened again"))
    before = logits(both)
    assert torch.equal(logits(both.switched(("letters/1",))), alone["letters"])
    assert torch.equal(logits(both.switched(("notes/1",))), alone["notes"])
    assert torch.equal(logits(both.switched(())), alone["tales"])
    again = both.switched(()).switched(("letters/1", "notes/1"))
    assert again.adapters == ("notes/1", "letters/1")
    assert torch.equal(logits(again), before)
    with pytest.raises(ValueError, match=r"no adapter 'poems/1' here. There is: notes/1, letters/1."):
        both.switched(("poems/1",))


def test_a_tuned_model_is_merged_into_a_whole_one(workspace: Workspace) -> None:
    tuned(workspace, "notes")
    model = open_model(workspace, "notes")
    whole = merged_model(model)
    agree(logits(whole), logits(model), "merged")
    making = workspace.new_model("whole")
    with making as folder:
        write_model(whole, folder, model.design.tables(), {})
    stored = open_model(workspace, "whole")
    assert torch.equal(logits(stored), logits(whole))
    assert whole.adapters == stored.adapters == ()


def test_outputs_of_adapters_are_replayed_with_them(workspace: Workspace) -> None:
    for name, seed in (("notes", 1), ("letters", 2)):
        tuned(workspace, name, seed=seed)
    asked = engine.request(["The"], 1, 0, (), {"length": 12})
    both = open_model(workspace, "tales", adapters=("notes", "letters"))
    for model, acting in (
        (both, ("notes/1", "letters/1")),
        (both.switched(("letters/1",)), ("letters/1",)),
        (open_model(workspace, "notes"), ("notes/1",)),
        (open_model(workspace, "notes").switched(()), ()),
        (open_model(workspace, "tales"), ()),
    ):
        (output,) = engine.store(workspace, model, asked, engine.finished(model, asked))
        assert tuple(workspace.output(output)[1]["adapters"]) == acting
        engine.replay(workspace, output)
    (output,) = engine.store(workspace, both, asked, engine.finished(both, asked))
    shutil.rmtree(workspace.model("notes").folder)
    tuned(workspace, "notes", seed=3)
    with pytest.raises(ValueError, match=r"^notes/1 is not the model that wrote"):
        engine.replay(workspace, output)


def test_generate_takes_adapters_on_the_command_line(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    for name, seed in (("notes", 1), ("letters", 2)):
        tuned(workspace, name, seed=seed)
    where = ["--workspace", str(workspace.root), "--json"]
    given = ["--adapter", "notes", "--adapter", "letters/1", "--prompt", "The", "--length", "9", "--seed", "1"]
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
    out = send(workspace, ref, "peft", tmp_path / "out", None, lambda share, what: None).path
    stored = workspace.model(ref).folder / "adapter"
    assert (out / peft.WEIGHTS).read_bytes() == (stored / peft.WEIGHTS).read_bytes()
    assert json.loads((out / peft.CONFIG).read_text())["target_modules"] == ["down_proj", "q_proj"]
    base = open_model(workspace, "tales")
    settings = {"width": 16, "heads": 2, "depth": 1, "activation": "gelu", "positions": "learned"}
    design = replace(base.design, network_settings=settings)
    other = replace(base, design=design, parts=parts_of(design, base.objective))
    making = workspace.new_model("other")
    with making as folder:
        write_model(other, folder, design.tables(), {})
    ref = tuned(workspace, "notes", base="other")
    with pytest.raises(ValueError, match=r"of another family. Export it whole: --to hf"):
        send(workspace, ref, "peft", tmp_path / "more", None, lambda share, what: None)
    assert not (tmp_path / "more").exists()


def resealed(workspace: Workspace, ref: str) -> None:
    manifest.seal(workspace.root / "models" / ref, "card.json", is_essential, {"name": ref.split("/")[0]})


def rewritten(workspace: Workspace, ref: str, **changes: Any) -> None:
    path = workspace.root / "models" / ref / "job.toml"
    path.write_text(as_toml({**tomllib.loads(path.read_text()), **changes}))
    resealed(workspace, ref)


def test_without_its_base_a_tuned_model_is_refused(workspace: Workspace) -> None:
    tuned(workspace, "notes")
    rewritten(workspace, "tales/1", length=47)
    with pytest.raises(
        ValueError, match=r"^tales/1 is not the model that notes/1 was tuned on: [^\n]+tune again: genl"
    ):
        open_model(workspace, "notes")
    shutil.rmtree(workspace.root / "models/tales")
    with pytest.raises(ValueError, match=r"^The model notes/1 was tuned on tales/1, which is not here: [^\n]+$"):
        open_model(workspace, "notes")


def test_an_adapter_on_another_base_is_refused(workspace: Workspace) -> None:
    tuned(workspace, "notes")
    for base, adapter in (("masks", "notes"), ("tales", "masks"), ("tales", "tales")):
        with pytest.raises(
            ValueError, match=rf"^{adapter}/1 is no adapter on {base}/1. Make one: genloom train NAME --"
        ):
            open_model(workspace, base, adapters=(adapter,))


def test_broken_tuned_models_are_one_clear_error(workspace: Workspace) -> None:
    tuned(workspace, "notes")
    card = workspace.model("notes").card
    job = workspace.root / "models/notes/1/job.toml"
    was = job.read_text()
    job.write_text(was.replace("[base]", "[bass]"))
    resealed(workspace, "notes/1")
    with pytest.raises(ValueError, match=r"does not say which model notes/1 was tuned on. Tune again.$"):
        open_model(workspace, "notes")
    job.write_text(was)
    config = workspace.root / "models/notes/1/adapter" / peft.CONFIG
    config.write_text(config.read_text().replace('"r": 2', '"r": 3'))
    resealed(workspace, "notes/1")
    with pytest.raises(ValueError, match=r"^The model notes/1 cannot be opened: [^\n]+ has the shape "):
        open_model(workspace, "notes")
    # A card that claims to stand on itself.
    job.write_text(was.replace("tales/1", "notes/1").replace(card["parents"][0]["digest"], "d" * 64))
    path = job.with_name("card.json")
    path.write_text(json.dumps({**card, "digest": "d" * 64}))
    with pytest.raises(ValueError, match="tuned 8 times over"):
        open_model(workspace, "notes")
